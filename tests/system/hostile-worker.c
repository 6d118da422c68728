/* A worker that strangers' bytes have taken over, as the host meets it: what it says is no message, or a lie, or words for a
 * terminal. This program is that worker, too: by the last letter of the name that it is executed by. */
#include "box.h"

#include <sys/socket.h>
#include "image/protocol.h"
#include "system/canary.h"

static char store[64];

/* ---- the worker ---- */

#define WORDS "\x1b[2J\x07 a \xc2\x9b b \xff c \xe2\x80\xae d\n"

static void say_raw(const void *bytes, size_t size)
{
	if (send(CX_WORKER_SOCKET, bytes, size, MSG_NOSIGNAL) < 0)
		_exit(3);
}

static void say_work(struct cx_work w, const void *bytes, size_t size, uint32_t said)
{
	static char message[sizeof w + 2 * CX_WORK_BYTES];

	w.size = said;
	memcpy(message, &w, sizeof w);
	memcpy(message + sizeof w, bytes, size);
	say_raw(message, sizeof w + size);
}

/* A descriptor along with it: nobody asked for one. */
static void say_with_fd(void)
{
	struct cx_work w = { .type = CX_WORK_DONE, .size = 2 };
	char bytes[] = "x", room[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov[2] = { { &w, sizeof w }, { bytes, 2 } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2, .msg_control = room, .msg_controllen = sizeof room };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int fd = 4;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof fd);
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	sendmsg(CX_WORKER_SOCKET, &m, MSG_NOSIGNAL);
}

static int worker(char what)
{
	static char many[2 * CX_WORK_BYTES];
	struct cx_work done = { .type = CX_WORK_DONE }, failed = { .type = CX_WORK_FAILED, .failed = { -EBADMSG, CONEX_STAGE_IMAGE } };
	struct cx_work progress = { .type = CX_WORK_PROGRESS, .progress = { UINT64_MAX, 1, UINT64_MAX, 7, 3 } };

	memset(many, 'x', sizeof many);
	switch (what) {
	case 'a': break;
	case 'b': say_raw("x", 1); break;
	case 'c': say_work(done, "x", 2, 99); break;
	case 'd': say_work(done, many, 2 * CX_WORK_BYTES, 2 * CX_WORK_BYTES); break;
	case 'e': say_work(done, many, CX_WORK_BYTES, CX_WORK_BYTES); break;      /* no NUL in it */
	case 'f': say_work(done, WORDS, sizeof WORDS, sizeof WORDS); break;
	case 'g': say_work(done, "", 0, 0); break;
	case 'h': say_work(failed, many, CX_WORK_BYTES, CX_WORK_BYTES); break;
	case 'i': say_work(failed, WORDS "\0" WORDS "\0" WORDS, 3 * sizeof WORDS, 3 * sizeof WORDS); break;
	case 'j': failed.failed.code = INT32_MIN; say_work(failed, "", 0, 0); break;
	case 'k': failed.failed.code = 5; say_work(failed, "", 0, 0); break;
	case 'l': failed.failed.code = -4096; failed.failed.stage = 999; say_work(failed, "", 0, 0); break;
	case 'm': failed.failed.stage = INT32_MIN; say_work(failed, "", 0, 0); break;
	case 'n': say_work(progress, WORDS, sizeof WORDS, sizeof WORDS); break;
	case 'o': say_work(failed, "", 0, 0); say_work(done, "x", 2, 2); break;
	case 'p': done.type = 77; say_work(done, "x", 2, 2); break;
	case 'q': say_with_fd(); break;
	case 'r':
		for (int i = 0; i < 5000; i++)
			say_work(progress, many, CX_WORK_BYTES, CX_WORK_BYTES);
		break;
	}
	return 0;
}

/* ---- the host ---- */

static int run(char what, conex_job **ret)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), r;
	const char *program = say("%s/liar-%c", box.dir, what);

	CHECK_INT(symlink(say("%s/tests/system/hostile-worker", getenv("CX_BUILDDIR")), program) == 0 || errno == EEXIST, 1);
	setenv("CONEX_WORKER", program, 1);
	box_clear();
	*ret = NULL;
	r = conex_image_import(box.cx, fd, "app", NULL, ret, &box.err);
	close(fd);
	if (r == 0)
		r = conex_job_wait(*ret, -1, &box.err);
	if (r < 0)
		CHECK(is_printable(conex_error_text(box.err)) && conex_error_code(box.err) == r && strlen(conex_error_text(box.err)) < 65536);
	return r;
}

static void ends(char what, int want)
{
	struct conex_progress p = { .size = sizeof p };
	conex_job *job;

	if (!CHECK_INT(run(what, &job), want))
		printf("# %c: %s\n", what, conex_error_text(box.err));
	GOOD(conex_job_progress(job, &p, &box.err));
	CHECK(is_printable(p.step));
	CHECK(want != 1 || is_printable(conex_job_result(job)));
	CHECK((want == 1) == (conex_job_result(job) != NULL));
	conex_job_free(job);
}

TEST(no_messages)
{
	ends('a', -EPIPE);
	ends('b', -EPIPE);
	ends('c', -EPIPE);
	ends('d', -EPIPE);
	ends('p', -EIO);
}

TEST(lies)
{
	int descriptors = box_entries("/proc/self/fd");

	ends('e', 1);
	ends('f', 1);
	ends('g', 1);
	ends('n', -EPIPE);
	ends('o', -EBADMSG);
	ends('q', 1);
	ends('r', -EPIPE);
	CHECK(box_entries("/proc/self/fd") <= descriptors);
}

TEST(refusals)
{
	ends('h', -EBADMSG);
	ends('i', -EBADMSG);
	CHECK(strstr(conex_error_object(box.err), "?[2J? a ?") && strstr(conex_error_hint(box.err), "d?"));
	ends('j', -EIO);
	ends('k', -EIO);
	ends('l', -EIO);
	CHECK_INT(conex_error_stage(box.err), CONEX_STAGE_IMAGE);
	ends('m', -EBADMSG);
	CHECK_INT(conex_error_stage(box.err), CONEX_STAGE_IMAGE);
}

static void tests(void)
{
	struct conex_options where = { .size = sizeof where, .close_ms = 120000, .store = store };
	conex_job *job;

	snprintf(store, sizeof store, "%s/store", box.dir);
	conex_close(box.cx);
	if (!GOOD(conex_open(&where, &box.cx, &box.err)))
		return;
	run('a', &job);         /* the keeper starts */
	conex_job_free(job);
	RUN(no_messages);
	RUN(lies);
	RUN(refusals);
}

int main(int argc, char **argv)
{
	const char *liar = argc ? strstr(argv[0], "/liar-") : NULL;

	return liar ? worker(liar[6]) : with_box(tests);
}
