/* For programs: types, annotations, macros and Win32 errors. Of the system's functions none is here;
   docs/windows-source.md says what stands for each. */
#include "windef.h"
#include "winbase.h"
#include "winerror.h"
#include "rpcdce.h"
