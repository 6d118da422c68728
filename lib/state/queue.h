/* News of objects: pending bits, not messages, so nothing overflows, repeats merge and posting needs no
 * memory. The context's lock guards it. */
#ifndef CX_STATE_QUEUE_H
#define CX_STATE_QUEUE_H

struct cx_news {                /* part of each object that can have news */
	struct cx_news *next;
	unsigned bits;          /* bit n: CONEX_EVENT_... number n */
	int queued;
};

struct cx_queue {
	struct cx_news *first, *last;
	int fd;                 /* eventfd: readable while something is pending */
};

int cx_queue_init(struct cx_queue *q);          /* 0, -errno */
void cx_queue_close(struct cx_queue *q);
void cx_queue_post(struct cx_queue *q, struct cx_news *n, int event);
/* The oldest object's first event (lowest number); *event. NULL: nothing pending. */
struct cx_news *cx_queue_take(struct cx_queue *q, int *event);
void cx_queue_forget(struct cx_queue *q, struct cx_news *n);    /* before its object goes */

#endif
