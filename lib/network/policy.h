/* A network's policy: which members may talk to which. What it says (policy.c), what nftables is told of it
 * (nft-policy.c), and how it comes into force and stays so (policing.c). */
#ifndef CX_NETWORK_POLICY_H
#define CX_NETWORK_POLICY_H

#include <jansson.h>
#include "base/str.h"
#include "network/nft.h"

enum { CX_POLICY_SIZE = 1 << 17, CX_POLICY_RULES = 256, CX_POLICY_PORTS = 32 };

/* Members by id (a pattern of fnmatch(3)) and label ("KEY", "KEY=VALUE"); NULL: any. Both: both must fit. */
struct cx_selector {
	const char *id, *label;
	char set[17];           /* its name in nftables: of what it says, so that a set never means something else */
};
struct cx_policy_port {
	uint8_t protocol;       /* IPPROTO_TCP, _UDP, _SCTP, _ICMP (both families') */
	uint16_t first, last;   /* first 0: all */
};
struct cx_policy_rule {
	int from, to;           /* selectors by number; -1: all members */
	int allow;
	int ports;              /* 0: everything */
	struct cx_policy_port port[CX_POLICY_PORTS];
};
struct cx_policy {
	json_t *root;           /* holds the strings */
	int allow;              /* what no rule fits */
	int selectors, rules;
	struct cx_selector *selector;
	struct cx_policy_rule *rule;
};

/* -EINVAL, -E2BIG: refused by path, value and mend. Touches nothing. */
int cx_policy_parse(const char *json, struct cx_policy **ret, conex_error **err);
void cx_policy_free(struct cx_policy *p);
static inline void cx_policy_freep(struct cx_policy **p) { cx_policy_free(*p); }
#define cx_autopolicy cx_cleanup(cx_policy_freep) struct cx_policy
int cx_selector_fits(const struct cx_selector *s, const char *id, const char *const *labels);
int cx_policy_asks_labels(const struct cx_policy *p);

/* For nftables, in its language. The table is for once; the rest of it is fine where it is so already. */
extern const char cx_policy_table[];
/* The network's chains and sets anew; those of `old` (may be NULL) that it hasn't any more are deleted. */
void cx_policy_text(struct cx_str *to, const struct cx_network *n, const struct cx_policy *p, const struct cx_policy *old);
/* A member's elements. Its port is policed from here on, whether there is one already or not. */
void cx_policy_text_enter(struct cx_str *to, const struct cx_network *n, const struct cx_policy *p,
	const struct cx_member *m);
void cx_policy_text_leave(struct cx_str *to, const struct cx_network *n, const struct cx_policy *p,
	const struct cx_member *m);
/* All of the network but members' elements, which are taken out before. */
void cx_policy_text_end(struct cx_str *to, const struct cx_network *n, const struct cx_policy *p,
	const struct cx_policy *old);

/* Before the member's interface is made, and after it is gone. Without a policy they cost a look. Not locked. */
int cx_policy_enter(const struct cx_networks *place, const struct cx_network *n, const struct cx_lease *l, const char *id,
	const char *const *labels, conex_error **err);
int cx_policy_leave(const struct cx_networks *place, const struct cx_network *n, const struct cx_lease *l); /* 0, -errno */
/* Where somebody has flushed the rules, or may have. Locked. */
int cx_policy_restore(struct cx_nft *nft, const struct cx_network *n, conex_error **err);
/* With the network. Locked. */
int cx_policy_end(struct cx_nft *nft, const struct cx_network *n, conex_error **err);

#endif
