/* What goes wrong, in one line on stderr and one in --log, in the words that engines look for. */
#include "oci.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

static int log_fd = -1, log_json;

void log_open(const struct options *o)
{
	log_json = o->log_format && !strcmp(o->log_format, "json");
	if (o->log && *o->log)
		log_fd = open(o->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (o->log && *o->log && log_fd < 0)
		fprintf(stderr, "conex-oci: --log %s: %s\n", o->log, strerror(errno));
}

static void write_log(const char *level, const char *text)
{
	char *quoted = json_quote(text), *line = NULL, now[40];
	time_t t = time(NULL);
	struct tm tm;
	int n;

	strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	if (log_json)
		n = asprintf(&line, "{\"level\":\"%s\",\"msg\":%s,\"time\":\"%s\"}\n", level, quoted ? quoted : "\"\"", now);
	else
		n = asprintf(&line, "time=\"%s\" level=%s msg=%s\n", now, level, quoted ? quoted : "\"\"");
	if (n > 0 && write(log_fd, line, (size_t)n) != n)
		fputs("conex-oci: the log can't be written\n", stderr);
	free(line);
	free(quoted);
}

static void tell(const char *level, const char *format, va_list args)
{
	char *text = NULL;

	if (vasprintf(&text, format, args) < 0)
		return;
	fprintf(stderr, "conex-oci: %s\n", text);
	if (log_fd >= 0)
		write_log(level, text);
	free(text);
}

int say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tell("error", format, args);
	va_end(args);
	return -1;
}

void warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tell("warning", format, args);
	va_end(args);
}

/* As Go writes an errno: engines search for these words. */
static const char *go_words(int error, char buffer[64])
{
	snprintf(buffer, 64, "%s", strerror(error));
	buffer[0] = (char)tolower((unsigned char)buffer[0]);
	return buffer;
}

int is_exec_error(const conex_error *e)
{
	return conex_error_stage(e) == CONEX_STAGE_EXEC && !strcmp(conex_error_call(e), "execve");
}

/* The program's name is the last word of the error's object: "process.args sh". */
static int say_exec_error(const conex_error *e, const char *what)
{
	const char *object = conex_error_object(e), *space = strchr(object, ' ');
	const char *name = space ? space + 1 : object;
	char words[64];

	go_words(-conex_error_code(e), words);
	if (conex_error_code(e) == -ENOENT && !strchr(name, '/'))
		return say("%s: unable to start container process: exec: \"%s\": executable file not found in $PATH",
			what, name);
	if (conex_error_code(e) == -ENOENT)
		return say("%s: unable to start container process: exec: \"%s\": stat %s: %s", what, name, name, words);
	return say("%s: unable to start container process: exec: \"%s\": %s", what, name, words);
}

int say_error(struct oci *rt, const char *what)
{
	if (is_exec_error(rt->err))
		return say_exec_error(rt->err, what);
	return say("%s: %s", what, conex_error_text(rt->err));
}
