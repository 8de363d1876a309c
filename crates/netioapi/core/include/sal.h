/* Annotations for analysers, old and new, for programs and for drivers. They expand to nothing, except
 * if the compiler has an attribute of the same meaning.
 *
 * sal_names.h has the names and parameters of mingw-w64's headers. Microsoft documents more; those follow it.
 */
#ifndef TEREDO_SAL_H
#define TEREDO_SAL_H

#ifndef _Check_return_
#define _Check_return_ __attribute__((__warn_unused_result__))
#endif
#ifndef __checkReturn
#define __checkReturn __attribute__((__warn_unused_result__))
#endif
#ifndef __inner_checkReturn
#define __inner_checkReturn __attribute__((__warn_unused_result__))
#endif
#ifndef __fallthrough
#if defined(__GNUC__) && (!defined(__clang__) || __clang_major__ >= 12)
#define __fallthrough __attribute__((__fallthrough__))
#else
#define __fallthrough
#endif
#endif

#include "sal_names.h"

#ifndef _Pre_
#define _Pre_
#endif
#ifndef _Pre_z_
#define _Pre_z_
#endif
#ifndef _Pre_valid_
#define _Pre_valid_
#endif
#ifndef _Pre_opt_valid_
#define _Pre_opt_valid_
#endif
#ifndef _Pre_null_
#define _Pre_null_
#endif
#ifndef _Pre_maybenull_
#define _Pre_maybenull_
#endif
#ifndef _Pre_invalid_
#define _Pre_invalid_
#endif
#ifndef _Pre_unknown_
#define _Pre_unknown_
#endif
#ifndef _Post_z_
#define _Post_z_
#endif
#ifndef _Post_valid_
#define _Post_valid_
#endif
#ifndef _Post_invalid_
#define _Post_invalid_
#endif
#ifndef _Post_ptr_invalid_
#define _Post_ptr_invalid_
#endif
#ifndef _Post_null_
#define _Post_null_
#endif
#ifndef _Post_notnull_
#define _Post_notnull_
#endif
#ifndef _Post_maybenull_
#define _Post_maybenull_
#endif
#ifndef _Prepost_z_
#define _Prepost_z_
#endif
#ifndef _Prepost_valid_
#define _Prepost_valid_
#endif
#ifndef _Pre_defensive_
#define _Pre_defensive_
#endif
#ifndef _Post_defensive_
#define _Post_defensive_
#endif
#ifndef _In_defensive_
#define _In_defensive_(a)
#endif
#ifndef _Out_defensive_
#define _Out_defensive_(a)
#endif
#ifndef _Inout_defensive_
#define _Inout_defensive_(a)
#endif
#ifndef _Null_
#define _Null_
#endif
#ifndef _Notnull_
#define _Notnull_
#endif
#ifndef _Maybenull_
#define _Maybenull_
#endif
#ifndef _Valid_
#define _Valid_
#endif
#ifndef _Notvalid_
#define _Notvalid_
#endif
#ifndef _Maybevalid_
#define _Maybevalid_
#endif
#ifndef _Notref_
#define _Notref_
#endif
#ifndef _Deref_
#define _Deref_
#endif
#ifndef _Deref_post_z_
#define _Deref_post_z_
#endif
#ifndef _Deref_pre_z_
#define _Deref_pre_z_
#endif
#ifndef _Deref_post_opt_z_
#define _Deref_post_opt_z_
#endif
#ifndef _Deref_prepost_z_
#define _Deref_prepost_z_
#endif
#ifndef _Out_z_
#define _Out_z_
#endif
#ifndef _Inexpressible_
#define _Inexpressible_(a)
#endif
#ifndef _Frees_ptr_
#define _Frees_ptr_
#endif
#ifndef _Frees_ptr_opt_
#define _Frees_ptr_opt_
#endif
#ifndef _Callback_
#define _Callback_
#endif
#ifndef _Enum_is_bitflag_
#define _Enum_is_bitflag_
#endif
#ifndef _Interlocked_operand_
#define _Interlocked_operand_
#endif
#ifndef _Acquires_spin_lock_
#define _Acquires_spin_lock_(a)
#endif
#ifndef _Releases_spin_lock_
#define _Releases_spin_lock_(a)
#endif
#ifndef _Dispatch_type_
#define _Dispatch_type_(a)
#endif
#ifndef _IRQL_always_function_max_
#define _IRQL_always_function_max_(a)
#endif
#ifndef _IRQL_always_function_min_
#define _IRQL_always_function_min_(a)
#endif
#ifndef _IRQL_is_cancel_
#define _IRQL_is_cancel_
#endif
#ifndef _IRQL_limited_to_
#define _IRQL_limited_to_(a)
#endif
#ifndef _IRQL_restores_global_
#define _IRQL_restores_global_(a, b)
#endif
#ifndef _IRQL_saves_global_
#define _IRQL_saves_global_(a, b)
#endif
#ifndef _IRQL_uses_cancel_
#define _IRQL_uses_cancel_
#endif
#ifndef _Kernel_clear_do_init_
#define _Kernel_clear_do_init_(a)
#endif
#ifndef _Kernel_entry_
#define _Kernel_entry_
#endif
#ifndef _Kernel_float_restored_
#define _Kernel_float_restored_
#endif
#ifndef _Kernel_float_saved_
#define _Kernel_float_saved_
#endif
#ifndef _Kernel_float_used_
#define _Kernel_float_used_
#endif
#ifndef _Kernel_IoGetDmaAdapter_
#define _Kernel_IoGetDmaAdapter_
#endif
#ifndef _Kernel_requires_resource_held_
#define _Kernel_requires_resource_held_(a)
#endif
#ifndef _Kernel_acquires_resource_
#define _Kernel_acquires_resource_(a)
#endif
#ifndef _Kernel_releases_resource_
#define _Kernel_releases_resource_(a)
#endif
#ifndef _Flt_CompletionContext_Outptr_
#define _Flt_CompletionContext_Outptr_
#endif
#ifndef __drv_functionClass
#define __drv_functionClass(a)
#endif
#ifndef __drv_sameIRQL
#define __drv_sameIRQL
#endif
#ifndef __drv_minIRQL
#define __drv_minIRQL(a)
#endif
#ifndef __drv_minFunctionIRQL
#define __drv_minFunctionIRQL(a)
#endif
#ifndef __drv_maxFunctionIRQL
#define __drv_maxFunctionIRQL(a)
#endif
#ifndef __drv_isCancelIRQL
#define __drv_isCancelIRQL
#endif
#ifndef __drv_innerNeverRaises
#define __drv_innerNeverRaises
#endif
#ifndef __drv_ret
#define __drv_ret(a)
#endif
#ifndef __drv_mustHold
#define __drv_mustHold(a)
#endif
#ifndef __drv_neverHold
#define __drv_neverHold(a)
#endif
#ifndef __drv_acquiresExclusiveResource
#define __drv_acquiresExclusiveResource(a)
#endif
#ifndef __drv_releasesExclusiveResource
#define __drv_releasesExclusiveResource(a)
#endif
#ifndef __drv_acquiresCancelSpinLock
#define __drv_acquiresCancelSpinLock
#endif
#ifndef __drv_releasesCancelSpinLock
#define __drv_releasesCancelSpinLock
#endif
#ifndef __drv_strictTypeMatch
#define __drv_strictTypeMatch(a)
#endif
#ifndef __drv_strictType
#define __drv_strictType(a, b)
#endif
#ifndef __drv_constant
#define __drv_constant
#endif
#ifndef __drv_notPointer
#define __drv_notPointer
#endif
#ifndef __drv_isObjectPointer
#define __drv_isObjectPointer
#endif
#ifndef __drv_inTry
#define __drv_inTry
#endif
#ifndef __drv_notInTry
#define __drv_notInTry
#endif
#ifndef __drv_clearDoInit
#define __drv_clearDoInit
#endif
#ifndef __drv_interlocked
#define __drv_interlocked
#endif
#ifndef __drv_reportError
#define __drv_reportError(a)
#endif
#ifndef __drv_preferredFunction
#define __drv_preferredFunction(a, b)
#endif
/* As in sal_names.h: for C++, these have to be asked for. */
#if !defined(__cplusplus) || defined(TEREDO_OLD_ANNOTATIONS)
#ifndef __callback
#define __callback
#endif
#ifndef __success
#define __success(a)
#endif
#ifndef __format_string
#define __format_string
#endif
#ifndef __nullterminated
#define __nullterminated
#endif
#ifndef __nullnullterminated
#define __nullnullterminated
#endif
#ifndef __notnull
#define __notnull
#endif
#ifndef __maybenull
#define __maybenull
#endif
#ifndef __valid
#define __valid
#endif
#ifndef __notvalid
#define __notvalid
#endif
#ifndef __typefix
#define __typefix(a)
#endif
#ifndef __post
#define __post
#endif
#ifndef __pre
#define __pre
#endif
#ifndef __control_entrypoint
#define __control_entrypoint(a)
#endif
#ifndef __data_entrypoint
#define __data_entrypoint(a)
#endif
#ifndef __blocksOn
#define __blocksOn(a)
#endif
#ifndef __in_range
#define __in_range(a, b)
#endif
#ifndef __in_z
#define __in_z
#endif
#ifndef __in_z_opt
#define __in_z_opt
#endif
#ifndef __in_ecount_opt
#define __in_ecount_opt(a)
#endif
#ifndef __in_bcount_opt
#define __in_bcount_opt(a)
#endif
#ifndef __inout_z
#define __inout_z
#endif
#ifndef __inout_ecount_opt
#define __inout_ecount_opt(a)
#endif
#ifndef __inout_bcount_opt
#define __inout_bcount_opt(a)
#endif
#ifndef __out_z
#define __out_z
#endif
#ifndef __out_z_opt
#define __out_z_opt
#endif
#ifndef __out_ecount_opt
#define __out_ecount_opt(a)
#endif
#ifndef __out_bcount_opt
#define __out_bcount_opt(a)
#endif
#ifndef __out_ecount_part_opt
#define __out_ecount_part_opt(a, b)
#endif
#ifndef __out_bcount_part_opt
#define __out_bcount_part_opt(a, b)
#endif
#ifndef __out_ecount_z_opt
#define __out_ecount_z_opt(a)
#endif
#ifndef __deref_in
#define __deref_in
#endif
#ifndef __deref_inout
#define __deref_inout
#endif
#ifndef __deref_out_bcount
#define __deref_out_bcount(a)
#endif
#ifndef __deref_out_z
#define __deref_out_z
#endif
#ifndef __deref_out_ecount_opt
#define __deref_out_ecount_opt(a)
#endif
#ifndef __deref_opt_out_opt
#define __deref_opt_out_opt
#endif
#endif

#endif
