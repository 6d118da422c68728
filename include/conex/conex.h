/* conex/conex.h: the whole public API. */
#ifndef CONEX_CONEX_H
#define CONEX_CONEX_H
#include <conex/base.h>
#include <conex/context.h>
#include <conex/spec.h>
#include <conex/cgroup.h>
#include <conex/namespace.h>
#include <conex/image.h>
#include <conex/network.h>
#include <conex/container.h>
#include <conex/plan.h>
#include <conex/broker.h>
#endif
