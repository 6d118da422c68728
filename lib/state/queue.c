/* The queue of news. */
#include "state/queue.h"
#include "base/cleanup.h"

#include <stdint.h>
#include <sys/eventfd.h>

int cx_queue_init(struct cx_queue *q)
{
	q->first = q->last = NULL;
	q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return q->fd < 0 ? -errno : 0;
}

void cx_queue_close(struct cx_queue *q)
{
	cx_closep(&q->fd);
}

static void signal_pending(struct cx_queue *q, int pending)
{
	uint64_t one = 1;
	ssize_t n = pending ? write(q->fd, &one, sizeof one) : read(q->fd, &one, sizeof one);

	(void)n;        /* a full or an empty counter already says what it should */
}

void cx_queue_post(struct cx_queue *q, struct cx_news *n, int event)
{
	n->bits |= 1U << event;
	if (n->queued)
		return;
	n->queued = 1;
	n->next = NULL;
	if (q->last)
		q->last->next = n;
	else
		q->first = n;
	if (!q->last)
		signal_pending(q, 1);
	q->last = n;
}

static void unlink_after(struct cx_queue *q, struct cx_news *before, struct cx_news *n)
{
	if (before)
		before->next = n->next;
	else
		q->first = n->next;
	if (q->last == n)
		q->last = before;
	n->next = NULL;
	n->queued = 0;
	if (!q->first)
		signal_pending(q, 0);
}

struct cx_news *cx_queue_take(struct cx_queue *q, int *event)
{
	struct cx_news *n = q->first;

	if (!n)
		return NULL;
	*event = __builtin_ctz(n->bits);
	n->bits &= n->bits - 1;
	if (!n->bits)
		unlink_after(q, NULL, n);
	return n;
}

void cx_queue_forget(struct cx_queue *q, struct cx_news *n)
{
	struct cx_news *before = NULL;

	if (!n->queued)
		return;
	for (struct cx_news *at = q->first; at && at != n; at = at->next)
		before = at;
	n->bits = 0;
	unlink_after(q, before, n);
}
