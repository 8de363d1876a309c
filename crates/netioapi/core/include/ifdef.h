/* The numbers of interfaces. */
#ifndef TEREDO_IFDEF_H
#define TEREDO_IFDEF_H

#include "winnt.h"

typedef UINT32 NET_IF_COMPARTMENT_ID, *PNET_IF_COMPARTMENT_ID;
typedef ULONG NET_IFINDEX, *PNET_IFINDEX;
typedef NET_IFINDEX IF_INDEX, *PIF_INDEX;
typedef UINT16 NET_IFTYPE, *PNET_IFTYPE;
typedef GUID NET_IF_NETWORK_GUID;

#endif
