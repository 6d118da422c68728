/* Limits of bandwidth: a token bucket (tc-tbf(8)) as an interface's root queue, which shapes what leaves by it. So
 * what goes into a container is limited at the host's end of its pair (link.c), what comes out at its own. */
#include "network/rate.h"

#include <linux/if_ether.h>
#include <linux/pkt_sched.h>
#include <stdio.h>

int cx_rate_check(const char *field, uint64_t bps, conex_error **err)
{
	char value[24];

	if (!bps || (bps >= CX_RATE_LEAST && bps <= CX_RATE_MOST))
		return 0;
	snprintf(value, sizeof value, "%llu", (unsigned long long)bps);
	return cx_refuse(err, -EINVAL, field, value, "from 8,000 to 500,000,000,000 bits a second; 0 is no limit");
}

/* Ten milliseconds at once: the kernel's timer may be late by some of them on a busy machine, and what was missed
 * then is never made up for. The queue holds fifty: enough for TCP not to run dry, little for others to wait. Where
 * that is less than some whole packets it is those: TCP's large ones are cut to whole packets of the interface's size
 * by the kernel when they are larger than the burst, but one of these that is never gets through. */
struct cx_bucket cx_bucket_of(uint64_t bps, uint32_t mtu)
{
	uint64_t packet = (mtu ? mtu : ETH_DATA_LEN) + ETH_HLEN + 4, bytes = bps / 8;
	uint64_t burst = bytes / 100, queue = bytes / 20;

	return (struct cx_bucket){ .bytes_per_second = bytes,
		.burst = (uint32_t)(burst < 2 * packet ? 2 * packet : burst),
		.queue = (uint32_t)(queue < 8 * packet ? 8 * packet : queue) };
}

/* The rate once in 32 bits, as the kernel had it first. With the link layer named it reckons by itself, without the
 * tables that tc(8) once brought. */
void cx_batch_rate(struct cx_batch *b, int index, uint64_t bps, uint32_t mtu)
{
	struct cx_bucket bucket = cx_bucket_of(bps, mtu);
	struct tcmsg about = { .tcm_family = AF_UNSPEC, .tcm_ifindex = index, .tcm_parent = TC_H_ROOT,
		.tcm_handle = TC_H_MAKE(1U << 16, 0) };
	struct tc_tbf_qopt o = { .limit = bucket.queue, .rate.linklayer = TC_LINKLAYER_ETHERNET };
	struct nl_msg *m = cx_batch_add(b, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &about, sizeof about,
		"%llu bits a second", (unsigned long long)bps);
	struct nlattr *options;

	o.rate.rate = bucket.bytes_per_second < UINT32_MAX ? (uint32_t)bucket.bytes_per_second : UINT32_MAX;
	cx_batch_put_text(b, m, TCA_KIND, "tbf");
	options = cx_batch_nest(b, m, TCA_OPTIONS);
	cx_batch_put(b, m, TCA_TBF_PARMS, &o, sizeof o);
	cx_batch_put(b, m, TCA_TBF_RATE64, &bucket.bytes_per_second, sizeof bucket.bytes_per_second);
	cx_batch_put_u32(b, m, TCA_TBF_BURST, bucket.burst);
	cx_batch_nest_end(m, options);
}
