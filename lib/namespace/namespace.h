/* namespace handles inside the library. */
#ifndef CX_NAMESPACE_NAMESPACE_H
#define CX_NAMESPACE_NAMESPACE_H
#include <conex/namespace.h>
uint32_t cx_namespace_kind(const conex_namespace *ns);  /* CONEX_NS_... */
conex_namespace *cx_namespace_ref(conex_namespace *ns); /* freed by conex_namespace_free */
#endif
