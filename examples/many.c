/* 200 containers on one epoll loop; what they end with comes as events. many ROOTFS [COUNT] */
#include <conex/conex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

static int count[4];                                /* ended with 0, 1, 2; anything else */

static void ended(const struct conex_event *ev)
{
	struct conex_exit x = { .size = sizeof x };

	if (conex_container_exit(ev->container, &x, NULL) < 0)
		return;
	count[x.status < 3 ? x.status : 3]++;
	if (conex_container_error(ev->container))       /* one that can't start is an event like another */
		printf("%d: %s\n", *(int *)ev->data, conex_error_text(conex_container_error(ev->container)));
}

static int start(conex *cx, struct conex_run_options *o, int n, int *numbers, conex_error **err)
{
	conex_container *c;

	for (int i = 0; i < n; i++) {
		numbers[i] = i;
		o->data = &numbers[i];
		if (conex_run(cx, NULL, CONEX_STRINGS("sh", "-c", "exit $((RANDOM % 3))"), o, &c, err) < 0)
			return -1;
		conex_container_free(c);                /* the events bring it again */
	}
	return 0;
}

int main(int argc, char **argv)
{
	conex *cx = NULL; conex_error *err = NULL;
	struct conex_run_options o = { .size = sizeof o, .rootfs = argv[1],
		.flags = CONEX_RUN_NOWAIT | CONEX_RUN_AUTODELETE };
	int n = argc > 2 ? atoi(argv[2]) : 200, left = n, loop = epoll_create1(EPOLL_CLOEXEC), r = 0;
	int *numbers = calloc((size_t)(n > 0 ? n : 1), sizeof *numbers);
	struct epoll_event pe = { .events = EPOLLIN };

	if (argc < 2 || n < 1 || !numbers) {
		fprintf(stderr, "usage: many ROOTFS [COUNT]\n");
		return 2;
	}
	if (conex_open(NULL, &cx, &err) < 0)
		goto out;
	epoll_ctl(loop, EPOLL_CTL_ADD, conex_fd(cx), &pe);      /* beside your sockets and timers */
	if (start(cx, &o, n, numbers, &err) < 0)
		goto out;
	while (left > 0 && r >= 0 && epoll_wait(loop, &pe, 1, -1) >= 0) {
		struct conex_event ev = { .size = sizeof ev };

		while ((r = conex_next_event(cx, 0, &ev, &err)) > 0)
			if (ev.type == CONEX_EVENT_EXITED) {
				ended(&ev);
				left--;
			}
	}
	printf("%d containers: %d ended with 0, %d with 1, %d with 2, %d otherwise\n",
		n - left, count[0], count[1], count[2], count[3]);
out:
	if (err)
		fprintf(stderr, "many: %s\n", conex_error_text(err));
	conex_error_free(err);
	conex_close(cx);                                        /* kills what still runs */
	close(loop);
	free(numbers);
	return left != 0 || count[3] != 0;
}
