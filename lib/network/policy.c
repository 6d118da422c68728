/* A policy's JSON, and whom its selectors mean. */
#include "network/policy.h"
#include "base/error.h"
#include "spec/spec.h"

#include <fnmatch.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum { WHERE = 80, PATTERN = 256, LABEL = 1024 };

/* ---- parts ---- */

/* The value as it is written, for the refusal. */
static int refuse(conex_error **err, const char *where, const json_t *value, const char *mend)
{
	cx_autofree char *text = value && !json_is_string(value) ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;

	return cx_refuse(err, -EINVAL, where, json_is_string(value) ? json_string_value(value) : text, "%s", mend);
}

static int check_keys(const json_t *object, const char *where, const char *const *known, conex_error **err)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value) {
		int i = 0;

		while (known[i] && strcmp(known[i], key))
			i++;
		if (!known[i]) {
			cx_autostr mend = { 0 };

			for (i = 0; known[i]; i++)
				cx_str_addf(&mend, "%s\"%s\"", !i ? "no such key; there are " : known[i + 1] ? ", " : " and ", known[i]);
			return cx_refuse(err, -EINVAL, where, key, "%s", mend.data ? mend.data : "no such key");
		}
	}
	return 0;
}

static int read_action(const json_t *value, const char *where, int *ret, conex_error **err)
{
	const char *text = json_string_value(value);

	*ret = text && !strcmp(text, "allow");
	return *ret || (text && !strcmp(text, "deny")) ? 0 : refuse(err, where, value, "write \"allow\" or \"deny\"");
}

/* ---- selectors ---- */

static void name_set(struct cx_selector *s)
{
	const char *part[] = { s->id ? s->id : "", s->label ? s->label : "" };
	uint64_t hash = 14695981039346656037U;

	for (int i = 0; i < 2; i++)
		for (const char *c = part[i];; c++) {   /* with the 0 behind it */
			hash = (hash ^ (unsigned char)*c) * 1099511628211U;
			if (!*c)
				break;
		}
	snprintf(s->set, sizeof s->set, "%016llx", (unsigned long long)hash);
}

static int add_selector(struct cx_policy *p, const char *id, const char *label)
{
	struct cx_selector *s = &p->selector[p->selectors];

	*s = (struct cx_selector){ .id = id, .label = label };
	name_set(s);
	for (int i = 0; i < p->selectors; i++)
		if (!strcmp(p->selector[i].set, s->set))
			return i;
	return p->selectors++;
}

static int read_text(const json_t *object, const char *key, const char *where, size_t max, const char **ret, conex_error **err)
{
	const json_t *value = json_object_get(object, key);
	size_t size = json_string_length(value);
	char here[WHERE], mend[48];

	snprintf(here, sizeof here, "%s.%s", where, key);
	snprintf(mend, sizeof mend, "write a string of 1 to %zu bytes", max - 1);
	*ret = json_string_value(value);
	if (value && (!*ret || !size || size >= max))
		return refuse(err, here, value, mend);
	if (!strcmp(key, "label") && *ret && **ret == '=')
		return refuse(err, here, value, "write KEY or KEY=VALUE");
	return 0;
}

static int read_selector(struct cx_policy *p, const json_t *rule, const char *key, int n, int *ret, conex_error **err)
{
	static const char *const keys[] = { "id", "label", NULL };
	const json_t *value = json_object_get(rule, key);
	const char *id, *label;
	char where[WHERE];
	int r;

	snprintf(where, sizeof where, "policy.rules[%d].%s", n, key);
	*ret = -1;
	if (!value || (json_is_string(value) && !strcmp(json_string_value(value), "*")))
		return 0;
	if (!json_is_object(value) || !json_object_size(value))
		return refuse(err, where, value, "write \"*\", {\"id\": \"web-*\"} or {\"label\": \"role=db\"}");
	r = check_keys(value, where, keys, err);
	if (r == 0)
		r = read_text(value, "id", where, PATTERN, &id, err);
	if (r == 0)
		r = read_text(value, "label", where, LABEL, &label, err);
	if (r == 0)
		*ret = add_selector(p, id, label);
	return r;
}

int cx_selector_fits(const struct cx_selector *s, const char *id, const char *const *labels)
{
	size_t size = s->label ? strlen(s->label) : 0;
	int is_key = s->label && !strchr(s->label, '=');

	if (s->id && fnmatch(s->id, id, 0) != 0)
		return 0;
	for (int i = 0; s->label && labels && labels[i]; i++)
		if (is_key ? !strncmp(labels[i], s->label, size) && labels[i][size] == '=' : !strcmp(labels[i], s->label))
			return 1;
	return !s->label;
}

int cx_policy_asks_labels(const struct cx_policy *p)
{
	for (int i = 0; i < p->selectors; i++)
		if (p->selector[i].label)
			return 1;
	return 0;
}

/* ---- ports ---- */

static int read_number(const char **text, uint16_t *ret)
{
	unsigned long n = 0;
	const char *c = *text;

	for (; *c >= '0' && *c <= '9' && n <= 65535; c++)
		n = n * 10 + (unsigned long)(*c - '0');
	if (c == *text || **text == '0' || n > 65535)
		return 0;
	*text = c;
	*ret = (uint16_t)n;
	return 1;
}

/* "tcp", "tcp/80", "tcp/8000-8010", "icmp" */
static int parse_port(const char *text, struct cx_policy_port *ret)
{
	static const struct { const char *name; uint8_t protocol; } known[] = {
		{ "tcp", IPPROTO_TCP }, { "udp", IPPROTO_UDP }, { "sctp", IPPROTO_SCTP }, { "icmp", IPPROTO_ICMP } };
	size_t size = strcspn(text, "/");

	*ret = (struct cx_policy_port){ 0 };
	for (size_t i = 0; i < CX_ARRAY_SIZE(known); i++)
		if (strlen(known[i].name) == size && !strncmp(known[i].name, text, size))
			ret->protocol = known[i].protocol;
	text += size;
	if (!*text || !ret->protocol)
		return ret->protocol != 0;
	text++;
	if (ret->protocol == IPPROTO_ICMP || !read_number(&text, &ret->first))
		return 0;
	ret->last = ret->first;
	if (*text == '-') {
		text++;
		if (!read_number(&text, &ret->last) || ret->last < ret->first)
			return 0;
	}
	return !*text;
}

static int read_ports(const json_t *rule, int n, struct cx_policy_rule *to, conex_error **err)
{
	const json_t *list = json_object_get(rule, "ports"), *item;
	char where[WHERE];
	size_t i;

	snprintf(where, sizeof where, "policy.rules[%d].ports", n);
	if (list && (!json_is_array(list) || !json_array_size(list)))
		return refuse(err, where, list, "write a list of at least one, as [\"tcp/80\"]; without \"ports\" all are meant");
	if (json_array_size(list) > CX_POLICY_PORTS)
		return cx_refuse(err, -E2BIG, where, NULL, "at most %d a rule: write ranges, or another rule", CX_POLICY_PORTS);
	json_array_foreach((json_t *)list, i, item) {
		snprintf(where, sizeof where, "policy.rules[%d].ports[%zu]", n, i);
		if (!json_is_string(item) || !parse_port(json_string_value(item), &to->port[to->ports]))
			return refuse(err, where, item, "write PROTOCOL, PROTOCOL/PORT or PROTOCOL/FIRST-LAST of tcp, udp, sctp "
				"and ports 1 to 65535; or \"icmp\"");
		to->ports++;
	}
	return 0;
}

/* ---- all of it ---- */

static int read_rule(struct cx_policy *p, const json_t *rule, int n, conex_error **err)
{
	static const char *const keys[] = { "from", "to", "ports", "action", NULL };
	struct cx_policy_rule *to = &p->rule[n];
	const json_t *action = json_object_get(rule, "action");
	char where[WHERE];
	int r;

	snprintf(where, sizeof where, "policy.rules[%d]", n);
	if (!json_is_object(rule))
		return refuse(err, where, rule, "write an object: {\"from\": …, \"to\": …}");
	r = check_keys(rule, where, keys, err);
	if (r == 0)
		r = read_selector(p, rule, "from", n, &to->from, err);
	if (r == 0)
		r = read_selector(p, rule, "to", n, &to->to, err);
	if (r == 0)
		r = read_ports(rule, n, to, err);
	snprintf(where, sizeof where, "policy.rules[%d].action", n);
	to->allow = 1;
	if (r == 0 && action)
		r = read_action(action, where, &to->allow, err);
	p->rules++;
	return r;
}

static int read_all(struct cx_policy *p, conex_error **err)
{
	static const char *const keys[] = { "default", "rules", NULL };
	const json_t *rules = json_object_get(p->root, "rules");
	size_t count = json_array_size(rules);
	int r;

	r = check_keys(p->root, "policy", keys, err);
	if (r == 0)
		r = read_action(json_object_get(p->root, "default"), "policy.default", &p->allow, err);
	if (r == 0 && rules && !json_is_array(rules))
		r = refuse(err, "policy.rules", rules, "write a list of rules");
	if (r == 0 && count > CX_POLICY_RULES)
		r = cx_refuse(err, -E2BIG, "policy.rules", NULL, "at most %d", CX_POLICY_RULES);
	if (r < 0)
		return r;
	p->rule = calloc(count + 1, sizeof *p->rule);
	p->selector = calloc(2 * count + 1, sizeof *p->selector);
	if (!p->rule || !p->selector)
		return cx_fail_memory(err);
	for (size_t i = 0; i < count && r == 0; i++)
		r = read_rule(p, json_array_get(rules, i), (int)i, err);
	return r;
}

int cx_policy_parse(const char *json, struct cx_policy **ret, conex_error **err)
{
	cx_autopolicy *p = calloc(1, sizeof *p);
	int r;

	if (!p)
		return cx_fail_memory(err);
	if (strlen(json) >= CX_POLICY_SIZE)
		return cx_refuse(err, -E2BIG, "policy", NULL, "at most %d bytes", CX_POLICY_SIZE - 1);
	r = cx_spec_parse_json(json, "policy", &p->root, err);
	if (r == 0)
		r = read_all(p, err);
	if (r == 0)
		*ret = cx_steal_ptr(&p);
	return r;
}

void cx_policy_free(struct cx_policy *p)
{
	if (!p)
		return;
	json_decref(p->root);
	free(p->rule);
	free(p->selector);
	free(p);
}
