// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A library that looks like llama.cpp's to who looks for its C interface, and computes nothing: its calls take the time
 * that they are told, or do not return.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdint.h>
#include <time.h>

struct llama_batch {
	int32_t n_tokens;
	void   *more[6];
};

enum { STUB_JUMP = -1, STUB_EXIT = -2, STUB_INNER = -3 };

int  llama_decode(long us, struct llama_batch batch);
int  llama_encode(long us, struct llama_batch batch);
int  stub_jump(struct llama_batch batch);
void stub_thread(struct llama_batch batch);
int  stub_deeper(long us, struct llama_batch batch, int depth);
void stub_many(int n, struct llama_batch batch);

static __thread jmp_buf out;

static void rest(long us)
{
	struct timespec t = { us / 1000000, us % 1000000 * 1000 };

	if (us)
		nanosleep(&t, NULL);
}

__attribute__((noinline)) int llama_encode(long us, struct llama_batch batch)
{
	rest(us);
	return batch.n_tokens;
}

__attribute__((noinline)) int llama_decode(long us, struct llama_batch batch)
{
	if (us == STUB_JUMP)
		longjmp(out, 1);
	if (us == STUB_EXIT)
		pthread_exit(NULL);
	if (us == STUB_INNER) {
		batch.n_tokens++;
		return llama_encode(1000, batch);
	}
	rest(us);
	return batch.n_tokens;
}

/* A call that is left without a return. */
int stub_jump(struct llama_batch batch)
{
	if (setjmp(out))
		return 0;
	return llama_decode(STUB_JUMP, batch);
}

static void *thread(void *batch)
{
	llama_decode(STUB_EXIT, *(struct llama_batch *)batch);
	return NULL;
}

/* A thread that ends in the middle of a call. */
void stub_thread(struct llama_batch batch)
{
	pthread_t t;

	if (!pthread_create(&t, NULL, thread, &batch))
		pthread_join(t, NULL);
}

/* A call from further down the stack. */
__attribute__((noinline)) int stub_deeper(long us, struct llama_batch batch, int depth)
{
	volatile char frame[4096];

	frame[0] = (char)depth;
	return (depth ? stub_deeper(us, batch, depth - 1) : llama_decode(us, batch)) + frame[0] * 0;
}

/* Calls without a pause. */
void stub_many(int n, struct llama_batch batch)
{
	while (n--)
		llama_decode(0, batch);
}
