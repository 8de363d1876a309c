/* For programs: types, annotations, macros and Win32 errors. The system's functions are not here:
   docs/windows-source.md lists replacements. */
#include "windef.h"
#include "winbase.h"
#include "winerror.h"
#include "rpcdce.h"
