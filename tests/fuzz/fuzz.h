/* What fuzzers share. Each defines LLVMFuzzerTestOneInput and fuzz_seed. Built with -fsanitize=fuzzer
 * -DCONEX_LIBFUZZER it is libFuzzer's (tests/fuzz/run.sh does so); alone it is a test: files given as arguments are
 * replayed, without any its seeds are mutated for a second; --seeds DIRECTORY writes them there. */
#ifndef CONEX_TEST_FUZZ_H
#define CONEX_TEST_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static int fuzz_seed(int n, struct cx_str *to); /* good input number n; 0: there is none */

#ifndef CONEX_LIBFUZZER
static uint32_t fuzz_noise(void)
{
	static uint64_t state = 1;

	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33);
}

/* Some bytes changed, sometimes cut or with a piece repeated. */
static void fuzz_mutate(const struct cx_str *good)
{
	size_t size = good->size, from, n;
	uint8_t *bytes = malloc(2 * size + 1);

	if (!bytes || !size) {
		free(bytes);
		return;
	}
	memcpy(bytes, good->data, size);
	for (uint32_t i = fuzz_noise() % 6; i < 6; i++)
		bytes[fuzz_noise() % size] = (uint8_t)fuzz_noise();
	if (fuzz_noise() % 4 == 0) {
		size = fuzz_noise() % size;
	} else if (fuzz_noise() % 4 == 0) {
		from = fuzz_noise() % size;
		n = fuzz_noise() % (size - from + 1);
		memmove(bytes + from + n, bytes + from, size - from);
		size += n;
	}
	LLVMFuzzerTestOneInput(bytes, size);
	free(bytes);
}

static int fuzz_replay(const char *path)
{
	static uint8_t bytes[1 << 20];
	FILE *f = fopen(path, "rb");

	if (!f)
		return 1;
	LLVMFuzzerTestOneInput(bytes, fread(bytes, 1, sizeof bytes, f));
	fclose(f);
	return 0;
}

static int fuzz_write_seeds(const char *directory)
{
	struct cx_str good = { .data = NULL };
	char path[4096];
	int failed = 0;

	for (int n = 0; fuzz_seed(n, &good); n++) {
		FILE *f;

		snprintf(path, sizeof path, "%s/seed-%d", directory, n);
		f = fopen(path, "wb");
		failed |= !f || fwrite(good.data, 1, good.size, f) != good.size;
		failed |= f && fclose(f) != 0;
		cx_str_free(&good);
	}
	return failed;
}

int main(int argc, char **argv)
{
	struct cx_str good = { .data = NULL };
	unsigned long rounds = 0;
	time_t end = time(NULL) + 2;
	int failed = 0, n = 0;

	if (argc == 3 && !strcmp(argv[1], "--seeds"))
		return fuzz_write_seeds(argv[2]);
	for (int i = 1; i < argc; i++)
		failed |= fuzz_replay(argv[i]);
	while (argc == 1 && time(NULL) < end) {
		cx_str_free(&good);
		if (!fuzz_seed(n++, &good)) {
			n = 0;
			continue;
		}
		if (rounds == 0)
			LLVMFuzzerTestOneInput((const uint8_t *)good.data, good.size);
		for (int i = 0; i < 200; i++, rounds++)
			fuzz_mutate(&good);
	}
	cx_str_free(&good);
	printf("%s 1 - nothing crashed (%lu mutations)\n1..1\n", failed ? "not ok" : "ok", rounds);
	return failed;
}
#endif

#endif
