/* A shared object that is linked to one of the libraries; plugins.c loads one of each flavour. */
#include <netioapi.h>

uint32_t status_of_null(void);

uint32_t status_of_null(void)
{
	return (uint32_t)GetTeredoPort(NULL);
}
