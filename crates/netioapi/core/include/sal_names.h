/* Annotations, which become nothing. For sal.h, which includes this.
 * Names and numbers are read from the headers of mingw-w64 by tests/c_programs/windows.rs, which made this
 * file and compares it. */
#ifndef DECLSPEC_ADDRSAFE
#define DECLSPEC_ADDRSAFE
#endif
#ifndef SAL__bcount
#define SAL__bcount(a)
#endif
#ifndef SAL__bcount_opt
#define SAL__bcount_opt(a)
#endif
#ifndef SAL__blocksOn
#define SAL__blocksOn(a)
#endif
#ifndef SAL__byte_readableTo
#define SAL__byte_readableTo(a)
#endif
#ifndef SAL__byte_writableTo
#define SAL__byte_writableTo(a)
#endif
#ifndef SAL__callback
#define SAL__callback
#endif
#ifndef SAL__checkReturn
#define SAL__checkReturn
#endif
#ifndef SAL__control_entrypoint
#define SAL__control_entrypoint(a)
#endif
#ifndef SAL__data_entrypoint
#define SAL__data_entrypoint(a)
#endif
#ifndef SAL__deref
#define SAL__deref
#endif
#ifndef SAL__deref_bcount
#define SAL__deref_bcount(a)
#endif
#ifndef SAL__deref_bcount_opt
#define SAL__deref_bcount_opt(a)
#endif
#ifndef SAL__deref_ecount
#define SAL__deref_ecount(a)
#endif
#ifndef SAL__deref_ecount_opt
#define SAL__deref_ecount_opt(a)
#endif
#ifndef SAL__deref_in
#define SAL__deref_in
#endif
#ifndef SAL__deref_in_bcount
#define SAL__deref_in_bcount(a)
#endif
#ifndef SAL__deref_in_bcount_opt
#define SAL__deref_in_bcount_opt(a)
#endif
#ifndef SAL__deref_in_ecount
#define SAL__deref_in_ecount(a)
#endif
#ifndef SAL__deref_in_ecount_opt
#define SAL__deref_in_ecount_opt(a)
#endif
#ifndef SAL__deref_in_opt
#define SAL__deref_in_opt
#endif
#ifndef SAL__deref_inout
#define SAL__deref_inout
#endif
#ifndef SAL__deref_inout_bcount
#define SAL__deref_inout_bcount(a)
#endif
#ifndef SAL__deref_inout_bcount_full
#define SAL__deref_inout_bcount_full(a)
#endif
#ifndef SAL__deref_inout_bcount_full_opt
#define SAL__deref_inout_bcount_full_opt(a)
#endif
#ifndef SAL__deref_inout_bcount_nz
#define SAL__deref_inout_bcount_nz(a)
#endif
#ifndef SAL__deref_inout_bcount_nz_opt
#define SAL__deref_inout_bcount_nz_opt(a)
#endif
#ifndef SAL__deref_inout_bcount_opt
#define SAL__deref_inout_bcount_opt(a)
#endif
#ifndef SAL__deref_inout_bcount_part
#define SAL__deref_inout_bcount_part(a, b)
#endif
#ifndef SAL__deref_inout_bcount_part_opt
#define SAL__deref_inout_bcount_part_opt(a, b)
#endif
#ifndef SAL__deref_inout_bcount_z
#define SAL__deref_inout_bcount_z(a)
#endif
#ifndef SAL__deref_inout_bcount_z_opt
#define SAL__deref_inout_bcount_z_opt(a)
#endif
#ifndef SAL__deref_inout_ecount
#define SAL__deref_inout_ecount(a)
#endif
#ifndef SAL__deref_inout_ecount_full
#define SAL__deref_inout_ecount_full(a)
#endif
#ifndef SAL__deref_inout_ecount_full_opt
#define SAL__deref_inout_ecount_full_opt(a)
#endif
#ifndef SAL__deref_inout_ecount_nz
#define SAL__deref_inout_ecount_nz(a)
#endif
#ifndef SAL__deref_inout_ecount_nz_opt
#define SAL__deref_inout_ecount_nz_opt(a)
#endif
#ifndef SAL__deref_inout_ecount_opt
#define SAL__deref_inout_ecount_opt(a)
#endif
#ifndef SAL__deref_inout_ecount_part
#define SAL__deref_inout_ecount_part(a, b)
#endif
#ifndef SAL__deref_inout_ecount_part_opt
#define SAL__deref_inout_ecount_part_opt(a, b)
#endif
#ifndef SAL__deref_inout_ecount_z
#define SAL__deref_inout_ecount_z(a)
#endif
#ifndef SAL__deref_inout_ecount_z_opt
#define SAL__deref_inout_ecount_z_opt(a)
#endif
#ifndef SAL__deref_inout_nz
#define SAL__deref_inout_nz
#endif
#ifndef SAL__deref_inout_nz_opt
#define SAL__deref_inout_nz_opt
#endif
#ifndef SAL__deref_inout_opt
#define SAL__deref_inout_opt
#endif
#ifndef SAL__deref_inout_z
#define SAL__deref_inout_z
#endif
#ifndef SAL__deref_inout_z_opt
#define SAL__deref_inout_z_opt
#endif
#ifndef SAL__deref_opt_bcount
#define SAL__deref_opt_bcount(a)
#endif
#ifndef SAL__deref_opt_bcount_opt
#define SAL__deref_opt_bcount_opt(a)
#endif
#ifndef SAL__deref_opt_ecount
#define SAL__deref_opt_ecount(a)
#endif
#ifndef SAL__deref_opt_ecount_opt
#define SAL__deref_opt_ecount_opt(a)
#endif
#ifndef SAL__deref_opt_in
#define SAL__deref_opt_in
#endif
#ifndef SAL__deref_opt_in_bcount
#define SAL__deref_opt_in_bcount(a)
#endif
#ifndef SAL__deref_opt_in_bcount_opt
#define SAL__deref_opt_in_bcount_opt(a)
#endif
#ifndef SAL__deref_opt_in_ecount
#define SAL__deref_opt_in_ecount(a)
#endif
#ifndef SAL__deref_opt_in_ecount_opt
#define SAL__deref_opt_in_ecount_opt(a)
#endif
#ifndef SAL__deref_opt_in_opt
#define SAL__deref_opt_in_opt
#endif
#ifndef SAL__deref_opt_inout
#define SAL__deref_opt_inout
#endif
#ifndef SAL__deref_opt_inout_bcount
#define SAL__deref_opt_inout_bcount(a)
#endif
#ifndef SAL__deref_opt_inout_bcount_full
#define SAL__deref_opt_inout_bcount_full(a)
#endif
#ifndef SAL__deref_opt_inout_bcount_full_opt
#define SAL__deref_opt_inout_bcount_full_opt(a)
#endif
#ifndef SAL__deref_opt_inout_bcount_nz
#define SAL__deref_opt_inout_bcount_nz(a)
#endif
#ifndef SAL__deref_opt_inout_bcount_nz_opt
#define SAL__deref_opt_inout_bcount_nz_opt(a)
#endif
#ifndef SAL__deref_opt_inout_bcount_opt
#define SAL__deref_opt_inout_bcount_opt(a)
#endif
#ifndef SAL__deref_opt_inout_bcount_part
#define SAL__deref_opt_inout_bcount_part(a, b)
#endif
#ifndef SAL__deref_opt_inout_bcount_part_opt
#define SAL__deref_opt_inout_bcount_part_opt(a, b)
#endif
#ifndef SAL__deref_opt_inout_bcount_z
#define SAL__deref_opt_inout_bcount_z(a)
#endif
#ifndef SAL__deref_opt_inout_bcount_z_opt
#define SAL__deref_opt_inout_bcount_z_opt(a)
#endif
#ifndef SAL__deref_opt_inout_ecount
#define SAL__deref_opt_inout_ecount(a)
#endif
#ifndef SAL__deref_opt_inout_ecount_full
#define SAL__deref_opt_inout_ecount_full(a)
#endif
#ifndef SAL__deref_opt_inout_ecount_full_opt
#define SAL__deref_opt_inout_ecount_full_opt(a)
#endif
#ifndef SAL__deref_opt_inout_ecount_nz
#define SAL__deref_opt_inout_ecount_nz(a)
#endif
#ifndef SAL__deref_opt_inout_ecount_nz_opt
#define SAL__deref_opt_inout_ecount_nz_opt(a)
#endif
#ifndef SAL__deref_opt_inout_ecount_opt
#define SAL__deref_opt_inout_ecount_opt(a)
#endif
#ifndef SAL__deref_opt_inout_ecount_part
#define SAL__deref_opt_inout_ecount_part(a, b)
#endif
#ifndef SAL__deref_opt_inout_ecount_part_opt
#define SAL__deref_opt_inout_ecount_part_opt(a, b)
#endif
#ifndef SAL__deref_opt_inout_ecount_z
#define SAL__deref_opt_inout_ecount_z(a)
#endif
#ifndef SAL__deref_opt_inout_ecount_z_opt
#define SAL__deref_opt_inout_ecount_z_opt(a)
#endif
#ifndef SAL__deref_opt_inout_nz
#define SAL__deref_opt_inout_nz
#endif
#ifndef SAL__deref_opt_inout_nz_opt
#define SAL__deref_opt_inout_nz_opt
#endif
#ifndef SAL__deref_opt_inout_opt
#define SAL__deref_opt_inout_opt
#endif
#ifndef SAL__deref_opt_inout_z
#define SAL__deref_opt_inout_z
#endif
#ifndef SAL__deref_opt_inout_z_opt
#define SAL__deref_opt_inout_z_opt
#endif
#ifndef SAL__deref_opt_out
#define SAL__deref_opt_out
#endif
#ifndef SAL__deref_opt_out_bcount
#define SAL__deref_opt_out_bcount(a)
#endif
#ifndef SAL__deref_opt_out_bcount_full
#define SAL__deref_opt_out_bcount_full(a)
#endif
#ifndef SAL__deref_opt_out_bcount_full_opt
#define SAL__deref_opt_out_bcount_full_opt(a)
#endif
#ifndef SAL__deref_opt_out_bcount_nz_opt
#define SAL__deref_opt_out_bcount_nz_opt(a)
#endif
#ifndef SAL__deref_opt_out_bcount_opt
#define SAL__deref_opt_out_bcount_opt(a)
#endif
#ifndef SAL__deref_opt_out_bcount_part
#define SAL__deref_opt_out_bcount_part(a, b)
#endif
#ifndef SAL__deref_opt_out_bcount_part_opt
#define SAL__deref_opt_out_bcount_part_opt(a, b)
#endif
#ifndef SAL__deref_opt_out_bcount_z_opt
#define SAL__deref_opt_out_bcount_z_opt(a)
#endif
#ifndef SAL__deref_opt_out_ecount
#define SAL__deref_opt_out_ecount(a)
#endif
#ifndef SAL__deref_opt_out_ecount_full
#define SAL__deref_opt_out_ecount_full(a)
#endif
#ifndef SAL__deref_opt_out_ecount_full_opt
#define SAL__deref_opt_out_ecount_full_opt(a)
#endif
#ifndef SAL__deref_opt_out_ecount_nz_opt
#define SAL__deref_opt_out_ecount_nz_opt(a)
#endif
#ifndef SAL__deref_opt_out_ecount_opt
#define SAL__deref_opt_out_ecount_opt(a)
#endif
#ifndef SAL__deref_opt_out_ecount_part
#define SAL__deref_opt_out_ecount_part(a, b)
#endif
#ifndef SAL__deref_opt_out_ecount_part_opt
#define SAL__deref_opt_out_ecount_part_opt(a, b)
#endif
#ifndef SAL__deref_opt_out_ecount_z_opt
#define SAL__deref_opt_out_ecount_z_opt(a)
#endif
#ifndef SAL__deref_opt_out_nz_opt
#define SAL__deref_opt_out_nz_opt
#endif
#ifndef SAL__deref_opt_out_opt
#define SAL__deref_opt_out_opt
#endif
#ifndef SAL__deref_opt_out_z
#define SAL__deref_opt_out_z
#endif
#ifndef SAL__deref_opt_out_z_opt
#define SAL__deref_opt_out_z_opt
#endif
#ifndef SAL__deref_out
#define SAL__deref_out
#endif
#ifndef SAL__deref_out_bcount
#define SAL__deref_out_bcount(a)
#endif
#ifndef SAL__deref_out_bcount_full
#define SAL__deref_out_bcount_full(a)
#endif
#ifndef SAL__deref_out_bcount_full_opt
#define SAL__deref_out_bcount_full_opt(a)
#endif
#ifndef SAL__deref_out_bcount_nz
#define SAL__deref_out_bcount_nz(a)
#endif
#ifndef SAL__deref_out_bcount_nz_opt
#define SAL__deref_out_bcount_nz_opt(a)
#endif
#ifndef SAL__deref_out_bcount_opt
#define SAL__deref_out_bcount_opt(a)
#endif
#ifndef SAL__deref_out_bcount_part
#define SAL__deref_out_bcount_part(a, b)
#endif
#ifndef SAL__deref_out_bcount_part_opt
#define SAL__deref_out_bcount_part_opt(a, b)
#endif
#ifndef SAL__deref_out_bcount_z
#define SAL__deref_out_bcount_z(a)
#endif
#ifndef SAL__deref_out_bcount_z_opt
#define SAL__deref_out_bcount_z_opt(a)
#endif
#ifndef SAL__deref_out_ecount
#define SAL__deref_out_ecount(a)
#endif
#ifndef SAL__deref_out_ecount_full
#define SAL__deref_out_ecount_full(a)
#endif
#ifndef SAL__deref_out_ecount_full_opt
#define SAL__deref_out_ecount_full_opt(a)
#endif
#ifndef SAL__deref_out_ecount_nz
#define SAL__deref_out_ecount_nz(a)
#endif
#ifndef SAL__deref_out_ecount_nz_opt
#define SAL__deref_out_ecount_nz_opt(a)
#endif
#ifndef SAL__deref_out_ecount_opt
#define SAL__deref_out_ecount_opt(a)
#endif
#ifndef SAL__deref_out_ecount_part
#define SAL__deref_out_ecount_part(a, b)
#endif
#ifndef SAL__deref_out_ecount_part_opt
#define SAL__deref_out_ecount_part_opt(a, b)
#endif
#ifndef SAL__deref_out_ecount_z
#define SAL__deref_out_ecount_z(a)
#endif
#ifndef SAL__deref_out_ecount_z_opt
#define SAL__deref_out_ecount_z_opt(a)
#endif
#ifndef SAL__deref_out_nz
#define SAL__deref_out_nz
#endif
#ifndef SAL__deref_out_nz_opt
#define SAL__deref_out_nz_opt
#endif
#ifndef SAL__deref_out_opt
#define SAL__deref_out_opt
#endif
#ifndef SAL__deref_out_z
#define SAL__deref_out_z
#endif
#ifndef SAL__deref_out_z_opt
#define SAL__deref_out_z_opt
#endif
#ifndef SAL__ecount
#define SAL__ecount(a)
#endif
#ifndef SAL__ecount_opt
#define SAL__ecount_opt(a)
#endif
#ifndef SAL__elem_readableTo
#define SAL__elem_readableTo(a)
#endif
#ifndef SAL__elem_writableTo
#define SAL__elem_writableTo(a)
#endif
#ifndef SAL__exceptthat
#define SAL__exceptthat
#endif
#ifndef SAL__execeptthat
#define SAL__execeptthat
#endif
#ifndef SAL__format_string
#define SAL__format_string
#endif
#ifndef SAL__in
#define SAL__in
#endif
#ifndef SAL__in_awcount
#define SAL__in_awcount(a, b)
#endif
#ifndef SAL__in_bcount
#define SAL__in_bcount(a)
#endif
#ifndef SAL__in_bcount_nz
#define SAL__in_bcount_nz(a)
#endif
#ifndef SAL__in_bcount_nz_opt
#define SAL__in_bcount_nz_opt(a)
#endif
#ifndef SAL__in_bcount_opt
#define SAL__in_bcount_opt(a)
#endif
#ifndef SAL__in_bcount_z
#define SAL__in_bcount_z(a)
#endif
#ifndef SAL__in_bcount_z_opt
#define SAL__in_bcount_z_opt(a)
#endif
#ifndef SAL__in_ecount
#define SAL__in_ecount(a)
#endif
#ifndef SAL__in_ecount_nz
#define SAL__in_ecount_nz(a)
#endif
#ifndef SAL__in_ecount_nz_opt
#define SAL__in_ecount_nz_opt(a)
#endif
#ifndef SAL__in_ecount_opt
#define SAL__in_ecount_opt(a)
#endif
#ifndef SAL__in_ecount_z
#define SAL__in_ecount_z(a)
#endif
#ifndef SAL__in_ecount_z_opt
#define SAL__in_ecount_z_opt(a)
#endif
#ifndef SAL__in_nz
#define SAL__in_nz
#endif
#ifndef SAL__in_nz_opt
#define SAL__in_nz_opt
#endif
#ifndef SAL__in_opt
#define SAL__in_opt
#endif
#ifndef SAL__in_z
#define SAL__in_z
#endif
#ifndef SAL__in_z_opt
#define SAL__in_z_opt
#endif
#ifndef SAL__inner_blocksOn
#define SAL__inner_blocksOn(a)
#endif
#ifndef SAL__inner_callback
#define SAL__inner_callback
#endif
#ifndef SAL__inner_checkReturn
#define SAL__inner_checkReturn
#endif
#ifndef SAL__inner_control_entrypoint
#define SAL__inner_control_entrypoint(a)
#endif
#ifndef SAL__inner_data_entrypoint
#define SAL__inner_data_entrypoint(a)
#endif
#ifndef SAL__inner_fallthrough
#define SAL__inner_fallthrough
#endif
#ifndef SAL__inner_fallthrough_dec
#define SAL__inner_fallthrough_dec
#endif
#ifndef SAL__inner_override
#define SAL__inner_override
#endif
#ifndef SAL__inner_success
#define SAL__inner_success(a)
#endif
#ifndef SAL__inner_typefix
#define SAL__inner_typefix(a)
#endif
#ifndef SAL__inout
#define SAL__inout
#endif
#ifndef SAL__inout_bcount
#define SAL__inout_bcount(a)
#endif
#ifndef SAL__inout_bcount_full
#define SAL__inout_bcount_full(a)
#endif
#ifndef SAL__inout_bcount_full_opt
#define SAL__inout_bcount_full_opt(a)
#endif
#ifndef SAL__inout_bcount_nz
#define SAL__inout_bcount_nz(a)
#endif
#ifndef SAL__inout_bcount_nz_opt
#define SAL__inout_bcount_nz_opt(a)
#endif
#ifndef SAL__inout_bcount_opt
#define SAL__inout_bcount_opt(a)
#endif
#ifndef SAL__inout_bcount_part
#define SAL__inout_bcount_part(a, b)
#endif
#ifndef SAL__inout_bcount_part_opt
#define SAL__inout_bcount_part_opt(a, b)
#endif
#ifndef SAL__inout_bcount_z
#define SAL__inout_bcount_z(a)
#endif
#ifndef SAL__inout_bcount_z_opt
#define SAL__inout_bcount_z_opt(a)
#endif
#ifndef SAL__inout_ecount
#define SAL__inout_ecount(a)
#endif
#ifndef SAL__inout_ecount_full
#define SAL__inout_ecount_full(a)
#endif
#ifndef SAL__inout_ecount_full_opt
#define SAL__inout_ecount_full_opt(a)
#endif
#ifndef SAL__inout_ecount_nz
#define SAL__inout_ecount_nz(a)
#endif
#ifndef SAL__inout_ecount_nz_opt
#define SAL__inout_ecount_nz_opt(a)
#endif
#ifndef SAL__inout_ecount_opt
#define SAL__inout_ecount_opt(a)
#endif
#ifndef SAL__inout_ecount_part
#define SAL__inout_ecount_part(a, b)
#endif
#ifndef SAL__inout_ecount_part_opt
#define SAL__inout_ecount_part_opt(a, b)
#endif
#ifndef SAL__inout_ecount_z
#define SAL__inout_ecount_z(a)
#endif
#ifndef SAL__inout_ecount_z_opt
#define SAL__inout_ecount_z_opt(a)
#endif
#ifndef SAL__inout_nz
#define SAL__inout_nz
#endif
#ifndef SAL__inout_nz_opt
#define SAL__inout_nz_opt
#endif
#ifndef SAL__inout_opt
#define SAL__inout_opt
#endif
#ifndef SAL__inout_z
#define SAL__inout_z
#endif
#ifndef SAL__inout_z_opt
#define SAL__inout_z_opt
#endif
#ifndef SAL__maybenull
#define SAL__maybenull
#endif
#ifndef SAL__maybereadonly
#define SAL__maybereadonly
#endif
#ifndef SAL__maybevalid
#define SAL__maybevalid
#endif
#ifndef SAL__notnull
#define SAL__notnull
#endif
#ifndef SAL__notreadonly
#define SAL__notreadonly
#endif
#ifndef SAL__notvalid
#define SAL__notvalid
#endif
#ifndef SAL__null
#define SAL__null
#endif
#ifndef SAL__nullnullterminated
#define SAL__nullnullterminated
#endif
#ifndef SAL__nullterminated
#define SAL__nullterminated
#endif
#ifndef SAL__out
#define SAL__out
#endif
#ifndef SAL__out_awcount
#define SAL__out_awcount(a, b)
#endif
#ifndef SAL__out_bcount
#define SAL__out_bcount(a)
#endif
#ifndef SAL__out_bcount_full
#define SAL__out_bcount_full(a)
#endif
#ifndef SAL__out_bcount_full_opt
#define SAL__out_bcount_full_opt(a)
#endif
#ifndef SAL__out_bcount_full_z
#define SAL__out_bcount_full_z(a)
#endif
#ifndef SAL__out_bcount_full_z_opt
#define SAL__out_bcount_full_z_opt(a)
#endif
#ifndef SAL__out_bcount_nz
#define SAL__out_bcount_nz(a)
#endif
#ifndef SAL__out_bcount_nz_opt
#define SAL__out_bcount_nz_opt(a)
#endif
#ifndef SAL__out_bcount_opt
#define SAL__out_bcount_opt(a)
#endif
#ifndef SAL__out_bcount_part
#define SAL__out_bcount_part(a, b)
#endif
#ifndef SAL__out_bcount_part_opt
#define SAL__out_bcount_part_opt(a, b)
#endif
#ifndef SAL__out_bcount_part_z
#define SAL__out_bcount_part_z(a, b)
#endif
#ifndef SAL__out_bcount_part_z_opt
#define SAL__out_bcount_part_z_opt(a, b)
#endif
#ifndef SAL__out_bcount_z
#define SAL__out_bcount_z(a)
#endif
#ifndef SAL__out_bcount_z_opt
#define SAL__out_bcount_z_opt(a)
#endif
#ifndef SAL__out_ecount
#define SAL__out_ecount(a)
#endif
#ifndef SAL__out_ecount_full
#define SAL__out_ecount_full(a)
#endif
#ifndef SAL__out_ecount_full_opt
#define SAL__out_ecount_full_opt(a)
#endif
#ifndef SAL__out_ecount_full_z
#define SAL__out_ecount_full_z(a)
#endif
#ifndef SAL__out_ecount_full_z_opt
#define SAL__out_ecount_full_z_opt(a)
#endif
#ifndef SAL__out_ecount_nz
#define SAL__out_ecount_nz(a)
#endif
#ifndef SAL__out_ecount_nz_opt
#define SAL__out_ecount_nz_opt(a)
#endif
#ifndef SAL__out_ecount_opt
#define SAL__out_ecount_opt(a)
#endif
#ifndef SAL__out_ecount_part
#define SAL__out_ecount_part(a, b)
#endif
#ifndef SAL__out_ecount_part_opt
#define SAL__out_ecount_part_opt(a, b)
#endif
#ifndef SAL__out_ecount_part_z
#define SAL__out_ecount_part_z(a, b)
#endif
#ifndef SAL__out_ecount_part_z_opt
#define SAL__out_ecount_part_z_opt(a, b)
#endif
#ifndef SAL__out_ecount_z
#define SAL__out_ecount_z(a)
#endif
#ifndef SAL__out_ecount_z_opt
#define SAL__out_ecount_z_opt(a)
#endif
#ifndef SAL__out_nz
#define SAL__out_nz
#endif
#ifndef SAL__out_nz_opt
#define SAL__out_nz_opt
#endif
#ifndef SAL__out_opt
#define SAL__out_opt
#endif
#ifndef SAL__out_z
#define SAL__out_z
#endif
#ifndef SAL__out_z_opt
#define SAL__out_z_opt
#endif
#ifndef SAL__override
#define SAL__override
#endif
#ifndef SAL__post
#define SAL__post
#endif
#ifndef SAL__postcond
#define SAL__postcond(a)
#endif
#ifndef SAL__pre
#define SAL__pre
#endif
#ifndef SAL__precond
#define SAL__precond(a)
#endif
#ifndef SAL__readableTo
#define SAL__readableTo(a)
#endif
#ifndef SAL__readonly
#define SAL__readonly
#endif
#ifndef SAL__reserved
#define SAL__reserved
#endif
#ifndef SAL__success
#define SAL__success(a)
#endif
#ifndef SAL__typefix
#define SAL__typefix(a)
#endif
#ifndef SAL__valid
#define SAL__valid
#endif
#ifndef SAL__writableTo
#define SAL__writableTo(a)
#endif
#ifndef _Acquires_exclusive_lock_
#define _Acquires_exclusive_lock_(a)
#endif
#ifndef _Acquires_lock_
#define _Acquires_lock_(a)
#endif
#ifndef _Acquires_nonreentrant_lock_
#define _Acquires_nonreentrant_lock_(a)
#endif
#ifndef _Acquires_shared_lock_
#define _Acquires_shared_lock_(a)
#endif
#ifndef _Always_
#define _Always_(a)
#endif
#ifndef _Analysis_assume_
#define _Analysis_assume_(a)
#endif
#ifndef _Analysis_assume_lock_acquired_
#define _Analysis_assume_lock_acquired_(a)
#endif
#ifndef _Analysis_assume_lock_held_
#define _Analysis_assume_lock_held_(a)
#endif
#ifndef _Analysis_assume_lock_not_held_
#define _Analysis_assume_lock_not_held_(a)
#endif
#ifndef _Analysis_assume_lock_released_
#define _Analysis_assume_lock_released_(a)
#endif
#ifndef _Analysis_assume_nullterminated_
#define _Analysis_assume_nullterminated_(a)
#endif
#ifndef _Analysis_assume_same_lock_
#define _Analysis_assume_same_lock_(a, b)
#endif
#ifndef _Analysis_mode_
#define _Analysis_mode_(a)
#endif
#ifndef _Analysis_suppress_lock_checking_
#define _Analysis_suppress_lock_checking_(a)
#endif
#ifndef _At_
#define _At_(a, b)
#endif
#ifndef _At_buffer_
#define _At_buffer_(a, b, c, d)
#endif
#ifndef _Benign_race_begin_
#define _Benign_race_begin_
#endif
#ifndef _Benign_race_end_
#define _Benign_race_end_
#endif
#ifndef _COM_Outptr_
#define _COM_Outptr_
#endif
#ifndef _COM_Outptr_opt_
#define _COM_Outptr_opt_
#endif
#ifndef _COM_Outptr_opt_result_maybenull_
#define _COM_Outptr_opt_result_maybenull_
#endif
#ifndef _COM_Outptr_result_maybenull_
#define _COM_Outptr_result_maybenull_
#endif
#ifndef _Called_from_function_class_
#define _Called_from_function_class_(a)
#endif
#ifndef _Const_
#define _Const_
#endif
#ifndef _Create_lock_level_
#define _Create_lock_level_(a)
#endif
#ifndef _Csalcat1_
#define _Csalcat1_(a, b)
#endif
#ifndef _Csalcat2_
#define _Csalcat2_(a, b)
#endif
#ifndef _Deref_in_range_
#define _Deref_in_range_(a, b)
#endif
#ifndef _Deref_inout_range_
#define _Deref_inout_range_(a, b)
#endif
#ifndef _Deref_opt_out_
#define _Deref_opt_out_
#endif
#ifndef _Deref_opt_out_opt_
#define _Deref_opt_out_opt_
#endif
#ifndef _Deref_out_
#define _Deref_out_
#endif
#ifndef _Deref_out_opt_
#define _Deref_out_opt_
#endif
#ifndef _Deref_out_range_
#define _Deref_out_range_(a, b)
#endif
#ifndef _Deref_ret_range_
#define _Deref_ret_range_(a, b)
#endif
#ifndef _Field_range_
#define _Field_range_(a, b)
#endif
#ifndef _Field_size_
#define _Field_size_(a)
#endif
#ifndef _Field_size_bytes_
#define _Field_size_bytes_(a)
#endif
#ifndef _Field_size_bytes_full_
#define _Field_size_bytes_full_(a)
#endif
#ifndef _Field_size_bytes_full_opt_
#define _Field_size_bytes_full_opt_(a)
#endif
#ifndef _Field_size_bytes_opt_
#define _Field_size_bytes_opt_(a)
#endif
#ifndef _Field_size_bytes_part_
#define _Field_size_bytes_part_(a, b)
#endif
#ifndef _Field_size_bytes_part_opt_
#define _Field_size_bytes_part_opt_(a, b)
#endif
#ifndef _Field_size_full_
#define _Field_size_full_(a)
#endif
#ifndef _Field_size_full_opt_
#define _Field_size_full_opt_(a)
#endif
#ifndef _Field_size_opt_
#define _Field_size_opt_(a)
#endif
#ifndef _Field_size_part_
#define _Field_size_part_(a, b)
#endif
#ifndef _Field_size_part_opt_
#define _Field_size_part_opt_(a, b)
#endif
#ifndef _Field_z_
#define _Field_z_
#endif
#ifndef _Format_string_impl_
#define _Format_string_impl_(a, b)
#endif
#ifndef _Function_class_
#define _Function_class_(a)
#endif
#ifndef _Function_ignore_lock_checking_
#define _Function_ignore_lock_checking_(a)
#endif
#ifndef _Group_
#define _Group_(a)
#endif
#ifndef _Guarded_by_
#define _Guarded_by_(a)
#endif
#ifndef _Has_lock_kind_
#define _Has_lock_kind_(a)
#endif
#ifndef _Has_lock_level_
#define _Has_lock_level_(a)
#endif
#ifndef _IRQL_raises_
#define _IRQL_raises_(a)
#endif
#ifndef _IRQL_requires_
#define _IRQL_requires_(a)
#endif
#ifndef _IRQL_requires_max_
#define _IRQL_requires_max_(a)
#endif
#ifndef _IRQL_requires_min_
#define _IRQL_requires_min_(a)
#endif
#ifndef _IRQL_requires_same_
#define _IRQL_requires_same_
#endif
#ifndef _IRQL_restores_
#define _IRQL_restores_
#endif
#ifndef _IRQL_saves_
#define _IRQL_saves_
#endif
#ifndef _In_
#define _In_
#endif
#ifndef _In_bytecount_
#define _In_bytecount_(a)
#endif
#ifndef _In_bytecount_c_
#define _In_bytecount_c_(a)
#endif
#ifndef _In_bytecount_x_
#define _In_bytecount_x_(a)
#endif
#ifndef _In_count_
#define _In_count_(a)
#endif
#ifndef _In_count_c_
#define _In_count_c_(a)
#endif
#ifndef _In_count_x_
#define _In_count_x_(a)
#endif
#ifndef _In_opt_
#define _In_opt_
#endif
#ifndef _In_opt_bytecount_
#define _In_opt_bytecount_(a)
#endif
#ifndef _In_opt_bytecount_c_
#define _In_opt_bytecount_c_(a)
#endif
#ifndef _In_opt_bytecount_x_
#define _In_opt_bytecount_x_(a)
#endif
#ifndef _In_opt_count_
#define _In_opt_count_(a)
#endif
#ifndef _In_opt_count_c_
#define _In_opt_count_c_(a)
#endif
#ifndef _In_opt_count_x_
#define _In_opt_count_x_(a)
#endif
#ifndef _In_opt_ptrdiff_count_
#define _In_opt_ptrdiff_count_(a)
#endif
#ifndef _In_opt_z_
#define _In_opt_z_
#endif
#ifndef _In_opt_z_bytecount_
#define _In_opt_z_bytecount_(a)
#endif
#ifndef _In_opt_z_bytecount_c_
#define _In_opt_z_bytecount_c_(a)
#endif
#ifndef _In_opt_z_count_
#define _In_opt_z_count_(a)
#endif
#ifndef _In_opt_z_count_c_
#define _In_opt_z_count_c_(a)
#endif
#ifndef _In_ptrdiff_count_
#define _In_ptrdiff_count_(a)
#endif
#ifndef _In_range_
#define _In_range_(a, b)
#endif
#ifndef _In_reads_
#define _In_reads_(a)
#endif
#ifndef _In_reads_bytes_
#define _In_reads_bytes_(a)
#endif
#ifndef _In_reads_bytes_opt_
#define _In_reads_bytes_opt_(a)
#endif
#ifndef _In_reads_opt_
#define _In_reads_opt_(a)
#endif
#ifndef _In_reads_opt_z_
#define _In_reads_opt_z_(a)
#endif
#ifndef _In_reads_or_z_
#define _In_reads_or_z_(a)
#endif
#ifndef _In_reads_or_z_opt_
#define _In_reads_or_z_opt_(a)
#endif
#ifndef _In_reads_to_ptr_
#define _In_reads_to_ptr_(a)
#endif
#ifndef _In_reads_to_ptr_opt_
#define _In_reads_to_ptr_opt_(a)
#endif
#ifndef _In_reads_to_ptr_opt_z_
#define _In_reads_to_ptr_opt_z_(a)
#endif
#ifndef _In_reads_to_ptr_z_
#define _In_reads_to_ptr_z_(a)
#endif
#ifndef _In_reads_z_
#define _In_reads_z_(a)
#endif
#ifndef _In_z_
#define _In_z_
#endif
#ifndef _In_z_bytecount_
#define _In_z_bytecount_(a)
#endif
#ifndef _In_z_bytecount_c_
#define _In_z_bytecount_c_(a)
#endif
#ifndef _In_z_count_
#define _In_z_count_(a)
#endif
#ifndef _In_z_count_c_
#define _In_z_count_c_(a)
#endif
#ifndef _Inout_
#define _Inout_
#endif
#ifndef _Inout_bytecap_
#define _Inout_bytecap_(a)
#endif
#ifndef _Inout_bytecap_c_
#define _Inout_bytecap_c_(a)
#endif
#ifndef _Inout_bytecap_x_
#define _Inout_bytecap_x_(a)
#endif
#ifndef _Inout_bytecount_
#define _Inout_bytecount_(a)
#endif
#ifndef _Inout_bytecount_c_
#define _Inout_bytecount_c_(a)
#endif
#ifndef _Inout_bytecount_x_
#define _Inout_bytecount_x_(a)
#endif
#ifndef _Inout_cap_
#define _Inout_cap_(a)
#endif
#ifndef _Inout_cap_c_
#define _Inout_cap_c_(a)
#endif
#ifndef _Inout_cap_x_
#define _Inout_cap_x_(a)
#endif
#ifndef _Inout_count_
#define _Inout_count_(a)
#endif
#ifndef _Inout_count_c_
#define _Inout_count_c_(a)
#endif
#ifndef _Inout_count_x_
#define _Inout_count_x_(a)
#endif
#ifndef _Inout_opt_
#define _Inout_opt_
#endif
#ifndef _Inout_opt_bytecap_
#define _Inout_opt_bytecap_(a)
#endif
#ifndef _Inout_opt_bytecap_c_
#define _Inout_opt_bytecap_c_(a)
#endif
#ifndef _Inout_opt_bytecap_x_
#define _Inout_opt_bytecap_x_(a)
#endif
#ifndef _Inout_opt_bytecount_
#define _Inout_opt_bytecount_(a)
#endif
#ifndef _Inout_opt_bytecount_c_
#define _Inout_opt_bytecount_c_(a)
#endif
#ifndef _Inout_opt_bytecount_x_
#define _Inout_opt_bytecount_x_(a)
#endif
#ifndef _Inout_opt_cap_
#define _Inout_opt_cap_(a)
#endif
#ifndef _Inout_opt_cap_c_
#define _Inout_opt_cap_c_(a)
#endif
#ifndef _Inout_opt_cap_x_
#define _Inout_opt_cap_x_(a)
#endif
#ifndef _Inout_opt_count_
#define _Inout_opt_count_(a)
#endif
#ifndef _Inout_opt_count_c_
#define _Inout_opt_count_c_(a)
#endif
#ifndef _Inout_opt_count_x_
#define _Inout_opt_count_x_(a)
#endif
#ifndef _Inout_opt_ptrdiff_count_
#define _Inout_opt_ptrdiff_count_(a)
#endif
#ifndef _Inout_opt_z_
#define _Inout_opt_z_
#endif
#ifndef _Inout_opt_z_bytecap_
#define _Inout_opt_z_bytecap_(a)
#endif
#ifndef _Inout_opt_z_bytecap_c_
#define _Inout_opt_z_bytecap_c_(a)
#endif
#ifndef _Inout_opt_z_bytecap_x_
#define _Inout_opt_z_bytecap_x_(a)
#endif
#ifndef _Inout_opt_z_bytecount_
#define _Inout_opt_z_bytecount_(a)
#endif
#ifndef _Inout_opt_z_bytecount_c_
#define _Inout_opt_z_bytecount_c_(a)
#endif
#ifndef _Inout_opt_z_cap_
#define _Inout_opt_z_cap_(a)
#endif
#ifndef _Inout_opt_z_cap_c_
#define _Inout_opt_z_cap_c_(a)
#endif
#ifndef _Inout_opt_z_cap_x_
#define _Inout_opt_z_cap_x_(a)
#endif
#ifndef _Inout_opt_z_count_
#define _Inout_opt_z_count_(a)
#endif
#ifndef _Inout_opt_z_count_c_
#define _Inout_opt_z_count_c_(a)
#endif
#ifndef _Inout_ptrdiff_count_
#define _Inout_ptrdiff_count_(a)
#endif
#ifndef _Inout_updates_
#define _Inout_updates_(a)
#endif
#ifndef _Inout_updates_all_
#define _Inout_updates_all_(a)
#endif
#ifndef _Inout_updates_all_opt_
#define _Inout_updates_all_opt_(a)
#endif
#ifndef _Inout_updates_bytes_
#define _Inout_updates_bytes_(a)
#endif
#ifndef _Inout_updates_bytes_all_
#define _Inout_updates_bytes_all_(a)
#endif
#ifndef _Inout_updates_bytes_all_opt_
#define _Inout_updates_bytes_all_opt_(a)
#endif
#ifndef _Inout_updates_bytes_opt_
#define _Inout_updates_bytes_opt_(a)
#endif
#ifndef _Inout_updates_bytes_to_
#define _Inout_updates_bytes_to_(a, b)
#endif
#ifndef _Inout_updates_bytes_to_opt_
#define _Inout_updates_bytes_to_opt_(a, b)
#endif
#ifndef _Inout_updates_opt_
#define _Inout_updates_opt_(a)
#endif
#ifndef _Inout_updates_opt_z_
#define _Inout_updates_opt_z_(a)
#endif
#ifndef _Inout_updates_to_
#define _Inout_updates_to_(a, b)
#endif
#ifndef _Inout_updates_to_opt_
#define _Inout_updates_to_opt_(a, b)
#endif
#ifndef _Inout_updates_z_
#define _Inout_updates_z_(a)
#endif
#ifndef _Inout_z_
#define _Inout_z_
#endif
#ifndef _Inout_z_bytecap_
#define _Inout_z_bytecap_(a)
#endif
#ifndef _Inout_z_bytecap_c_
#define _Inout_z_bytecap_c_(a)
#endif
#ifndef _Inout_z_bytecap_x_
#define _Inout_z_bytecap_x_(a)
#endif
#ifndef _Inout_z_bytecount_
#define _Inout_z_bytecount_(a)
#endif
#ifndef _Inout_z_bytecount_c_
#define _Inout_z_bytecount_c_(a)
#endif
#ifndef _Inout_z_cap_
#define _Inout_z_cap_(a)
#endif
#ifndef _Inout_z_cap_c_
#define _Inout_z_cap_c_(a)
#endif
#ifndef _Inout_z_cap_x_
#define _Inout_z_cap_x_(a)
#endif
#ifndef _Inout_z_count_
#define _Inout_z_count_(a)
#endif
#ifndef _Inout_z_count_c_
#define _Inout_z_count_c_(a)
#endif
#ifndef _Interlocked_
#define _Interlocked_
#endif
#ifndef _Internal_lock_level_order_
#define _Internal_lock_level_order_(a, b)
#endif
#ifndef _Literal_
#define _Literal_
#endif
#ifndef _Lock_level_order_
#define _Lock_level_order_(a, b)
#endif
#ifndef _Maybe_raises_SEH_exception_
#define _Maybe_raises_SEH_exception_
#endif
#ifndef _Must_inspect_result_
#define _Must_inspect_result_
#endif
#ifndef _No_competing_thread_
#define _No_competing_thread_
#endif
#ifndef _No_competing_thread_begin_
#define _No_competing_thread_begin_
#endif
#ifndef _No_competing_thread_end_
#define _No_competing_thread_end_
#endif
#ifndef _Notliteral_
#define _Notliteral_
#endif
#ifndef _NullNull_terminated_
#define _NullNull_terminated_
#endif
#ifndef _Null_terminated_
#define _Null_terminated_
#endif
#ifndef _On_failure_
#define _On_failure_(a)
#endif
#ifndef _Out_
#define _Out_
#endif
#ifndef _Out_bytecap_
#define _Out_bytecap_(a)
#endif
#ifndef _Out_bytecap_c_
#define _Out_bytecap_c_(a)
#endif
#ifndef _Out_bytecap_post_bytecount_
#define _Out_bytecap_post_bytecount_(a, b)
#endif
#ifndef _Out_bytecap_x_
#define _Out_bytecap_x_(a)
#endif
#ifndef _Out_bytecapcount_
#define _Out_bytecapcount_(a)
#endif
#ifndef _Out_bytecapcount_x_
#define _Out_bytecapcount_x_(a)
#endif
#ifndef _Out_cap_
#define _Out_cap_(a)
#endif
#ifndef _Out_cap_c_
#define _Out_cap_c_(a)
#endif
#ifndef _Out_cap_m_
#define _Out_cap_m_(a, b)
#endif
#ifndef _Out_cap_post_count_
#define _Out_cap_post_count_(a, b)
#endif
#ifndef _Out_cap_x_
#define _Out_cap_x_(a)
#endif
#ifndef _Out_capcount_
#define _Out_capcount_(a)
#endif
#ifndef _Out_capcount_x_
#define _Out_capcount_x_(a)
#endif
#ifndef _Out_opt_
#define _Out_opt_
#endif
#ifndef _Out_opt_bytecap_
#define _Out_opt_bytecap_(a)
#endif
#ifndef _Out_opt_bytecap_c_
#define _Out_opt_bytecap_c_(a)
#endif
#ifndef _Out_opt_bytecap_post_bytecount_
#define _Out_opt_bytecap_post_bytecount_(a, b)
#endif
#ifndef _Out_opt_bytecap_x_
#define _Out_opt_bytecap_x_(a)
#endif
#ifndef _Out_opt_bytecapcount_
#define _Out_opt_bytecapcount_(a)
#endif
#ifndef _Out_opt_bytecapcount_x_
#define _Out_opt_bytecapcount_x_(a)
#endif
#ifndef _Out_opt_cap_
#define _Out_opt_cap_(a)
#endif
#ifndef _Out_opt_cap_c_
#define _Out_opt_cap_c_(a)
#endif
#ifndef _Out_opt_cap_m_
#define _Out_opt_cap_m_(a, b)
#endif
#ifndef _Out_opt_cap_post_count_
#define _Out_opt_cap_post_count_(a, b)
#endif
#ifndef _Out_opt_cap_x_
#define _Out_opt_cap_x_(a)
#endif
#ifndef _Out_opt_capcount_
#define _Out_opt_capcount_(a)
#endif
#ifndef _Out_opt_capcount_x_
#define _Out_opt_capcount_x_(a)
#endif
#ifndef _Out_opt_ptrdiff_cap_
#define _Out_opt_ptrdiff_cap_(a)
#endif
#ifndef _Out_opt_z_bytecap_
#define _Out_opt_z_bytecap_(a)
#endif
#ifndef _Out_opt_z_bytecap_c_
#define _Out_opt_z_bytecap_c_(a)
#endif
#ifndef _Out_opt_z_bytecap_post_bytecount_
#define _Out_opt_z_bytecap_post_bytecount_(a, b)
#endif
#ifndef _Out_opt_z_bytecap_x_
#define _Out_opt_z_bytecap_x_(a)
#endif
#ifndef _Out_opt_z_bytecapcount_
#define _Out_opt_z_bytecapcount_(a)
#endif
#ifndef _Out_opt_z_cap_
#define _Out_opt_z_cap_(a)
#endif
#ifndef _Out_opt_z_cap_c_
#define _Out_opt_z_cap_c_(a)
#endif
#ifndef _Out_opt_z_cap_m_
#define _Out_opt_z_cap_m_(a, b)
#endif
#ifndef _Out_opt_z_cap_post_count_
#define _Out_opt_z_cap_post_count_(a, b)
#endif
#ifndef _Out_opt_z_cap_x_
#define _Out_opt_z_cap_x_(a)
#endif
#ifndef _Out_opt_z_capcount_
#define _Out_opt_z_capcount_(a)
#endif
#ifndef _Out_ptrdiff_cap_
#define _Out_ptrdiff_cap_(a)
#endif
#ifndef _Out_range_
#define _Out_range_(a, b)
#endif
#ifndef _Out_writes_
#define _Out_writes_(a)
#endif
#ifndef _Out_writes_all_
#define _Out_writes_all_(a)
#endif
#ifndef _Out_writes_all_opt_
#define _Out_writes_all_opt_(a)
#endif
#ifndef _Out_writes_bytes_
#define _Out_writes_bytes_(a)
#endif
#ifndef _Out_writes_bytes_all_
#define _Out_writes_bytes_all_(a)
#endif
#ifndef _Out_writes_bytes_all_opt_
#define _Out_writes_bytes_all_opt_(a)
#endif
#ifndef _Out_writes_bytes_opt_
#define _Out_writes_bytes_opt_(a)
#endif
#ifndef _Out_writes_bytes_to_
#define _Out_writes_bytes_to_(a, b)
#endif
#ifndef _Out_writes_bytes_to_opt_
#define _Out_writes_bytes_to_opt_(a, b)
#endif
#ifndef _Out_writes_opt_
#define _Out_writes_opt_(a)
#endif
#ifndef _Out_writes_opt_z_
#define _Out_writes_opt_z_(a)
#endif
#ifndef _Out_writes_to_
#define _Out_writes_to_(a, b)
#endif
#ifndef _Out_writes_to_opt_
#define _Out_writes_to_opt_(a, b)
#endif
#ifndef _Out_writes_to_ptr_
#define _Out_writes_to_ptr_(a)
#endif
#ifndef _Out_writes_to_ptr_opt_
#define _Out_writes_to_ptr_opt_(a)
#endif
#ifndef _Out_writes_to_ptr_opt_z_
#define _Out_writes_to_ptr_opt_z_(a)
#endif
#ifndef _Out_writes_to_ptr_z_
#define _Out_writes_to_ptr_z_(a)
#endif
#ifndef _Out_writes_z_
#define _Out_writes_z_(a)
#endif
#ifndef _Out_z_bytecap_
#define _Out_z_bytecap_(a)
#endif
#ifndef _Out_z_bytecap_c_
#define _Out_z_bytecap_c_(a)
#endif
#ifndef _Out_z_bytecap_post_bytecount_
#define _Out_z_bytecap_post_bytecount_(a, b)
#endif
#ifndef _Out_z_bytecap_x_
#define _Out_z_bytecap_x_(a)
#endif
#ifndef _Out_z_bytecapcount_
#define _Out_z_bytecapcount_(a)
#endif
#ifndef _Out_z_cap_
#define _Out_z_cap_(a)
#endif
#ifndef _Out_z_cap_c_
#define _Out_z_cap_c_(a)
#endif
#ifndef _Out_z_cap_m_
#define _Out_z_cap_m_(a, b)
#endif
#ifndef _Out_z_cap_post_count_
#define _Out_z_cap_post_count_(a, b)
#endif
#ifndef _Out_z_cap_x_
#define _Out_z_cap_x_(a)
#endif
#ifndef _Out_z_capcount_
#define _Out_z_capcount_(a)
#endif
#ifndef _Outptr_
#define _Outptr_
#endif
#ifndef _Outptr_opt_
#define _Outptr_opt_
#endif
#ifndef _Outptr_opt_result_buffer_
#define _Outptr_opt_result_buffer_(a)
#endif
#ifndef _Outptr_opt_result_buffer_all_
#define _Outptr_opt_result_buffer_all_(a)
#endif
#ifndef _Outptr_opt_result_buffer_all_maybenull_
#define _Outptr_opt_result_buffer_all_maybenull_(a)
#endif
#ifndef _Outptr_opt_result_buffer_maybenull_
#define _Outptr_opt_result_buffer_maybenull_(a)
#endif
#ifndef _Outptr_opt_result_buffer_to_
#define _Outptr_opt_result_buffer_to_(a, b)
#endif
#ifndef _Outptr_opt_result_buffer_to_maybenull_
#define _Outptr_opt_result_buffer_to_maybenull_(a, b)
#endif
#ifndef _Outptr_opt_result_bytebuffer_
#define _Outptr_opt_result_bytebuffer_(a)
#endif
#ifndef _Outptr_opt_result_bytebuffer_all_
#define _Outptr_opt_result_bytebuffer_all_(a)
#endif
#ifndef _Outptr_opt_result_bytebuffer_all_maybenull_
#define _Outptr_opt_result_bytebuffer_all_maybenull_(a)
#endif
#ifndef _Outptr_opt_result_bytebuffer_maybenull_
#define _Outptr_opt_result_bytebuffer_maybenull_(a)
#endif
#ifndef _Outptr_opt_result_bytebuffer_to_
#define _Outptr_opt_result_bytebuffer_to_(a, b)
#endif
#ifndef _Outptr_opt_result_bytebuffer_to_maybenull_
#define _Outptr_opt_result_bytebuffer_to_maybenull_(a, b)
#endif
#ifndef _Outptr_opt_result_maybenull_
#define _Outptr_opt_result_maybenull_
#endif
#ifndef _Outptr_opt_result_maybenull_z_
#define _Outptr_opt_result_maybenull_z_
#endif
#ifndef _Outptr_opt_result_nullonfailure_
#define _Outptr_opt_result_nullonfailure_
#endif
#ifndef _Outptr_opt_result_z_
#define _Outptr_opt_result_z_
#endif
#ifndef _Outptr_result_buffer_
#define _Outptr_result_buffer_(a)
#endif
#ifndef _Outptr_result_buffer_all_
#define _Outptr_result_buffer_all_(a)
#endif
#ifndef _Outptr_result_buffer_all_maybenull_
#define _Outptr_result_buffer_all_maybenull_(a)
#endif
#ifndef _Outptr_result_buffer_maybenull_
#define _Outptr_result_buffer_maybenull_(a)
#endif
#ifndef _Outptr_result_buffer_to_
#define _Outptr_result_buffer_to_(a, b)
#endif
#ifndef _Outptr_result_buffer_to_maybenull_
#define _Outptr_result_buffer_to_maybenull_(a, b)
#endif
#ifndef _Outptr_result_bytebuffer_
#define _Outptr_result_bytebuffer_(a)
#endif
#ifndef _Outptr_result_bytebuffer_all_
#define _Outptr_result_bytebuffer_all_(a)
#endif
#ifndef _Outptr_result_bytebuffer_all_maybenull_
#define _Outptr_result_bytebuffer_all_maybenull_(a)
#endif
#ifndef _Outptr_result_bytebuffer_maybenull_
#define _Outptr_result_bytebuffer_maybenull_(a)
#endif
#ifndef _Outptr_result_bytebuffer_to_
#define _Outptr_result_bytebuffer_to_(a, b)
#endif
#ifndef _Outptr_result_bytebuffer_to_maybenull_
#define _Outptr_result_bytebuffer_to_maybenull_(a, b)
#endif
#ifndef _Outptr_result_maybenull_
#define _Outptr_result_maybenull_
#endif
#ifndef _Outptr_result_maybenull_z_
#define _Outptr_result_maybenull_z_
#endif
#ifndef _Outptr_result_nullonfailure_
#define _Outptr_result_nullonfailure_
#endif
#ifndef _Outptr_result_z_
#define _Outptr_result_z_
#endif
#ifndef _Outref_
#define _Outref_
#endif
#ifndef _Outref_result_buffer_
#define _Outref_result_buffer_(a)
#endif
#ifndef _Outref_result_buffer_all_
#define _Outref_result_buffer_all_(a)
#endif
#ifndef _Outref_result_buffer_all_maybenull_
#define _Outref_result_buffer_all_maybenull_(a)
#endif
#ifndef _Outref_result_buffer_maybenull_
#define _Outref_result_buffer_maybenull_(a)
#endif
#ifndef _Outref_result_buffer_to_
#define _Outref_result_buffer_to_(a, b)
#endif
#ifndef _Outref_result_buffer_to_maybenull_
#define _Outref_result_buffer_to_maybenull_(a, b)
#endif
#ifndef _Outref_result_bytebuffer_
#define _Outref_result_bytebuffer_(a)
#endif
#ifndef _Outref_result_bytebuffer_all_
#define _Outref_result_bytebuffer_all_(a)
#endif
#ifndef _Outref_result_bytebuffer_all_maybenull_
#define _Outref_result_bytebuffer_all_maybenull_(a)
#endif
#ifndef _Outref_result_bytebuffer_maybenull_
#define _Outref_result_bytebuffer_maybenull_(a)
#endif
#ifndef _Outref_result_bytebuffer_to_
#define _Outref_result_bytebuffer_to_(a, b)
#endif
#ifndef _Outref_result_bytebuffer_to_maybenull_
#define _Outref_result_bytebuffer_to_maybenull_(a, b)
#endif
#ifndef _Outref_result_maybenull_
#define _Outref_result_maybenull_
#endif
#ifndef _Outref_result_nullonfailure_
#define _Outref_result_nullonfailure_
#endif
#ifndef _Points_to_data_
#define _Points_to_data_
#endif
#ifndef _Post_
#define _Post_
#endif
#ifndef _Post_equal_to_
#define _Post_equal_to_(a)
#endif
#ifndef _Post_equals_last_error_
#define _Post_equals_last_error_
#endif
#ifndef _Post_readable_byte_size_
#define _Post_readable_byte_size_(a)
#endif
#ifndef _Post_readable_size_
#define _Post_readable_size_(a)
#endif
#ifndef _Post_same_lock_
#define _Post_same_lock_(a, b)
#endif
#ifndef _Post_satisfies_
#define _Post_satisfies_(a)
#endif
#ifndef _Post_writable_byte_size_
#define _Post_writable_byte_size_(a)
#endif
#ifndef _Post_writable_size_
#define _Post_writable_size_(a)
#endif
#ifndef _Pre_equal_to_
#define _Pre_equal_to_(a)
#endif
#ifndef _Pre_notnull_
#define _Pre_notnull_
#endif
#ifndef _Pre_readable_byte_size_
#define _Pre_readable_byte_size_(a)
#endif
#ifndef _Pre_readable_size_
#define _Pre_readable_size_(a)
#endif
#ifndef _Pre_satisfies_
#define _Pre_satisfies_(a)
#endif
#ifndef _Pre_writable_byte_size_
#define _Pre_writable_byte_size_(a)
#endif
#ifndef _Pre_writable_size_
#define _Pre_writable_size_(a)
#endif
#ifndef _Printf_format_string_
#define _Printf_format_string_
#endif
#ifndef _Printf_format_string_params_
#define _Printf_format_string_params_(a)
#endif
#ifndef _Raises_SEH_exception_
#define _Raises_SEH_exception_
#endif
#ifndef _Readable_bytes_
#define _Readable_bytes_(a)
#endif
#ifndef _Readable_elements_
#define _Readable_elements_(a)
#endif
#ifndef _Releases_exclusive_lock_
#define _Releases_exclusive_lock_(a)
#endif
#ifndef _Releases_lock_
#define _Releases_lock_(a)
#endif
#ifndef _Releases_nonreentrant_lock_
#define _Releases_nonreentrant_lock_(a)
#endif
#ifndef _Releases_shared_lock_
#define _Releases_shared_lock_(a)
#endif
#ifndef _Requires_exclusive_lock_held_
#define _Requires_exclusive_lock_held_(a)
#endif
#ifndef _Requires_lock_held_
#define _Requires_lock_held_(a)
#endif
#ifndef _Requires_lock_not_held_
#define _Requires_lock_not_held_(a)
#endif
#ifndef _Requires_no_locks_held_
#define _Requires_no_locks_held_
#endif
#ifndef _Requires_shared_lock_held_
#define _Requires_shared_lock_held_(a)
#endif
#ifndef _Reserved_
#define _Reserved_
#endif
#ifndef _Result_nullonfailure_
#define _Result_nullonfailure_
#endif
#ifndef _Result_zeroonfailure_
#define _Result_zeroonfailure_
#endif
#ifndef _Ret_maybenull_
#define _Ret_maybenull_
#endif
#ifndef _Ret_maybenull_z_
#define _Ret_maybenull_z_
#endif
#ifndef _Ret_notnull_
#define _Ret_notnull_
#endif
#ifndef _Ret_null_
#define _Ret_null_
#endif
#ifndef _Ret_range_
#define _Ret_range_(a, b)
#endif
#ifndef _Ret_valid_
#define _Ret_valid_
#endif
#ifndef _Ret_writes_
#define _Ret_writes_(a)
#endif
#ifndef _Ret_writes_bytes_
#define _Ret_writes_bytes_(a)
#endif
#ifndef _Ret_writes_bytes_maybenull_
#define _Ret_writes_bytes_maybenull_(a)
#endif
#ifndef _Ret_writes_bytes_to_
#define _Ret_writes_bytes_to_(a, b)
#endif
#ifndef _Ret_writes_bytes_to_maybenull_
#define _Ret_writes_bytes_to_maybenull_(a, b)
#endif
#ifndef _Ret_writes_maybenull_
#define _Ret_writes_maybenull_(a)
#endif
#ifndef _Ret_writes_maybenull_z_
#define _Ret_writes_maybenull_z_(a)
#endif
#ifndef _Ret_writes_to_
#define _Ret_writes_to_(a, b)
#endif
#ifndef _Ret_writes_to_maybenull_
#define _Ret_writes_to_maybenull_(a, b)
#endif
#ifndef _Ret_writes_z_
#define _Ret_writes_z_(a)
#endif
#ifndef _Ret_z_
#define _Ret_z_
#endif
#ifndef _Return_type_success_
#define _Return_type_success_(a)
#endif
#ifndef _Scanf_format_string_
#define _Scanf_format_string_
#endif
#ifndef _Scanf_format_string_params_
#define _Scanf_format_string_params_(a)
#endif
#ifndef _Scanf_s_format_string_
#define _Scanf_s_format_string_
#endif
#ifndef _Scanf_s_format_string_params_
#define _Scanf_s_format_string_params_(a)
#endif
#ifndef _Strict_type_match_
#define _Strict_type_match_
#endif
#ifndef _Struct_size_bytes_
#define _Struct_size_bytes_(a)
#endif
#ifndef _Success_
#define _Success_(a)
#endif
#ifndef _Unchanged_
#define _Unchanged_(a)
#endif
#ifndef _Use_decl_annotations_
#define _Use_decl_annotations_
#endif
#ifndef _When_
#define _When_(a, b)
#endif
#ifndef _Writable_bytes_
#define _Writable_bytes_(a)
#endif
#ifndef _Writable_elements_
#define _Writable_elements_(a)
#endif
#ifndef _Write_guarded_by_
#define _Write_guarded_by_(a)
#endif
#ifndef __CLRCALL_OR_CDECL
#define __CLRCALL_OR_CDECL
#endif
#ifndef __CLR_OR_THIS_CALL
#define __CLR_OR_THIS_CALL
#endif
#ifndef __analysis_assume
#define __analysis_assume(a)
#endif
#ifndef __bcount
#define __bcount(a)
#endif
#ifndef __deref_opt_out
#define __deref_opt_out
#endif
#ifndef __deref_opt_out_bcount
#define __deref_opt_out_bcount(a)
#endif
#ifndef __deref_out
#define __deref_out
#endif
#ifndef __deref_out_ecount
#define __deref_out_ecount(a)
#endif
#ifndef __deref_out_opt
#define __deref_out_opt
#endif
#ifndef __drv_aliasesMem
#define __drv_aliasesMem
#endif
#ifndef __drv_allocatesMem
#define __drv_allocatesMem(a)
#endif
#ifndef __drv_arg
#define __drv_arg(a, b)
#endif
#ifndef __drv_at
#define __drv_at(a, b)
#endif
#ifndef __drv_deref
#define __drv_deref(a)
#endif
#ifndef __drv_dispatchType
#define __drv_dispatchType(a)
#endif
#ifndef __drv_dispatchType_other
#define __drv_dispatchType_other
#endif
#ifndef __drv_formatString
#define __drv_formatString(a)
#endif
#ifndef __drv_freesMem
#define __drv_freesMem(a)
#endif
#ifndef __drv_in
#define __drv_in(a)
#endif
#ifndef __drv_in_deref
#define __drv_in_deref(a)
#endif
#ifndef __drv_maxIRQL
#define __drv_maxIRQL(a)
#endif
#ifndef __drv_nonConstant
#define __drv_nonConstant
#endif
#ifndef __drv_out
#define __drv_out(a)
#endif
#ifndef __drv_out_deref
#define __drv_out_deref(a)
#endif
#ifndef __drv_raisesIRQL
#define __drv_raisesIRQL(a)
#endif
#ifndef __drv_requiresIRQL
#define __drv_requiresIRQL(a)
#endif
#ifndef __drv_restoresIRQL
#define __drv_restoresIRQL
#endif
#ifndef __drv_restoresIRQLGlobal
#define __drv_restoresIRQLGlobal(a, b)
#endif
#ifndef __drv_savesIRQL
#define __drv_savesIRQL
#endif
#ifndef __drv_savesIRQLGlobal
#define __drv_savesIRQLGlobal(a, b)
#endif
#ifndef __drv_setsIRQL
#define __drv_setsIRQL(a)
#endif
#ifndef __drv_useCancelIRQL
#define __drv_useCancelIRQL
#endif
#ifndef __drv_valueIs
#define __drv_valueIs(a)
#endif
#ifndef __drv_when
#define __drv_when(a, b)
#endif
#ifndef __ecount
#define __ecount(a)
#endif
#ifndef __encoded_pointer
#define __encoded_pointer
#endif
#ifndef __in_bcount
#define __in_bcount(a)
#endif
#ifndef __in_bcount_nz
#define __in_bcount_nz(a)
#endif
#ifndef __in_bcount_z
#define __in_bcount_z(a)
#endif
#ifndef __in_ecount
#define __in_ecount(a)
#endif
#ifndef __in_ecount_nz
#define __in_ecount_nz(a)
#endif
#ifndef __in_ecount_z
#define __in_ecount_z(a)
#endif
#ifndef __inout_bcount
#define __inout_bcount(a)
#endif
#ifndef __inout_bcount_full
#define __inout_bcount_full(a)
#endif
#ifndef __inout_bcount_nz
#define __inout_bcount_nz(a)
#endif
#ifndef __inout_bcount_part
#define __inout_bcount_part(a, b)
#endif
#ifndef __inout_bcount_z
#define __inout_bcount_z(a)
#endif
#ifndef __inout_ecount
#define __inout_ecount(a)
#endif
#ifndef __inout_ecount_full
#define __inout_ecount_full(a)
#endif
#ifndef __inout_ecount_nz
#define __inout_ecount_nz(a)
#endif
#ifndef __inout_ecount_part
#define __inout_ecount_part(a, b)
#endif
#ifndef __inout_ecount_z
#define __inout_ecount_z(a)
#endif
#ifndef __internal_kernel_driver
#define __internal_kernel_driver
#endif
#ifndef __kernel_code
#define __kernel_code
#endif
#ifndef __kernel_driver
#define __kernel_driver
#endif
#ifndef __out_bcount
#define __out_bcount(a)
#endif
#ifndef __out_bcount_full
#define __out_bcount_full(a)
#endif
#ifndef __out_bcount_full_z
#define __out_bcount_full_z(a)
#endif
#ifndef __out_bcount_nz
#define __out_bcount_nz(a)
#endif
#ifndef __out_bcount_part
#define __out_bcount_part(a, b)
#endif
#ifndef __out_bcount_part_z
#define __out_bcount_part_z(a, b)
#endif
#ifndef __out_bcount_z
#define __out_bcount_z(a)
#endif
#ifndef __out_ecount
#define __out_ecount(a)
#endif
#ifndef __out_ecount_full
#define __out_ecount_full(a)
#endif
#ifndef __out_ecount_full_z
#define __out_ecount_full_z(a)
#endif
#ifndef __out_ecount_nz
#define __out_ecount_nz(a)
#endif
#ifndef __out_ecount_part
#define __out_ecount_part(a, b)
#endif
#ifndef __out_ecount_part_z
#define __out_ecount_part_z(a, b)
#endif
#ifndef __out_ecount_z
#define __out_ecount_z(a)
#endif
#ifndef __refparam
#define __refparam
#endif
#ifndef __user_code
#define __user_code
#endif
#ifndef __user_driver
#define __user_driver
#endif
/* Headers of the C++ library have these as names of their own: a C++ source that uses them defines
TEREDO_OLD_ANNOTATIONS, and includes that library's headers ahead of this one. */
#if !defined(__cplusplus) || defined(TEREDO_OLD_ANNOTATIONS)
#ifndef __deref
#define __deref
#endif
#ifndef __in
#define __in
#endif
#ifndef __in_opt
#define __in_opt
#endif
#ifndef __inout
#define __inout
#endif
#ifndef __inout_opt
#define __inout_opt
#endif
#ifndef __out
#define __out
#endif
#ifndef __out_opt
#define __out_opt
#endif
#ifndef __range
#define __range(a, b)
#endif
#endif
