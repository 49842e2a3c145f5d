// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The library of NVIDIA's driver, in all the states it may be found in, and what its GPUs spend. */
#include "tests/unit/fake_nvml.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <time.h>

#include "collectors/nvml_api.h"

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* A machine with a driver of its own has a library also when we give none. */
static int has_own_library(void)
{
	void *lib = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);

	if (lib)
		dlclose(lib);
	return lib != NULL;
}

static void no_library(void **state)
{
	install(NULL);
	if (has_own_library()) {
		print_message("this machine has an NVIDIA driver: cannot try to be without\n");
		skip();
	}
	assert_int_equal(open_again(), -ENODEV);
	assert_non_null(strstr(col->why, "libnvidia-ml.so.1: cannot open shared object file"));
}

static void broken_library(void **state)
{
	install(NULL);
	put("libnvidia-ml.so.1", "this is no library, but it is long enough to hold the header of one, if barely so\n");
	assert_int_equal(open_again(), -EIO);
	assert_non_null(strstr(col->why, "invalid ELF header"));
}

/* The header of a 32-bit library. */
static void library_of_another_machine(void **state)
{
	char from[PATH_MAX + 32], to[128], header[64];
	int fd;

	install(NULL);
	if (has_own_library()) {
		print_message("this machine has an NVIDIA driver: the loader would go on to it\n");
		skip();
	}
	snprintf(from, sizeof(from), "%s/nvml_stub.so", stub_dir);
	fd = open(from, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, header, sizeof(header)), sizeof(header));
	close(fd);
	header[4] = 1; /* EI_CLASS: ELFCLASS32 */
	path_in_dir(to, sizeof(to), "libnvidia-ml.so.1");
	fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(write(fd, header, sizeof(header)), sizeof(header));
	close(fd);
	assert_int_equal(open_again(), -EIO);
	assert_non_null(strstr(col->why, "wrong ELF class"));
}

/*
 * Another library under this name: libm, which is loaded anyhow. The loader then takes the two names for the same for
 * as long as the process lives, so it is tried in one of its own.
 */
static void library_without_the_functions(void **state)
{
	Dl_info info;
	int status;
	pid_t pid;

	assert_true(dladdr(dlsym(RTLD_DEFAULT, "fmod"), &info) != 0);
	install(info.dli_fname);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		_exit(open_again() != -EIO || !strstr(col->why, "libnvidia-ml.so.1 is too old"));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void init_failures_in_words(void **state)
{
	static const struct {
		int         code, err;
		const char *words;
	} t[] = {
		{ 1, -EIO, "nvmlInit: uninitialized (1)" },
		{ 2, -EIO, "nvmlInit: invalid argument (2)" },
		{ 3, -ENOTSUP, "nvmlInit: not supported (3)" },
		{ 4, -EPERM, "nvmlInit: no permission (4)" },
		{ 9, -ENODEV, "nvmlInit: driver not loaded (9)" },
		{ 12, -ENODEV, "nvmlInit: library not found (12)" },
		{ 15, -EIO, "nvmlInit: GPU is lost (15)" },
		{ 17, -EIO, "nvmlInit: blocked by the operating system or cgroup (17)" },
		{ 18, -EIO, "nvmlInit: library and driver versions differ: reboot or reload the driver (18)" },
		{ 29, -EIO, "nvmlInit: invalid state (29)" },
		{ 30, -EIO, "nvmlInit: unknown error (30)" },
		{ 999, -EIO, "nvmlInit: unknown error (999)" },
	};
	char text[32];
	size_t i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		snprintf(text, sizeof(text), "gpus 1\ninit %d\n", t[i].code);
		gpus(0, text);
		assert_int_equal(open_again(), t[i].err);
		assert_string_equal(col->why, t[i].words);
	}
}

static void no_gpu(void **state)
{
	gpus(0, "gpus 0\n");
	assert_int_equal(open_again(), -ENODEV);
	assert_string_equal(col->why, "the driver has no GPU");
}

#define TWO "gpus 2\nrefresh_ms 100\n"                                                                                 \
	    "gpu 0 name NVIDIA H200\ngpu 0 limit_mw 700000\n"                                                         \
	    "gpu 0 energy_mj 5000\ngpu 0 at 0 power 100000\ngpu 0 at 500 power 700000\n"                             \
	    "gpu 1 name A\x1b[2Jtrick\xff\ngpu 1 energy_mj 9000\ngpu 1 at 0 power 50000\n"

static void energy_of_all_gpus(void **state)
{
	gpus(0, TWO);
	assert_int_equal(open_again(), 0);
	assert_string_equal(col->why, "");
	assert_int_equal(col->nch, 2);
	assert_string_equal(col->ch[0].name, "gpu0");
	assert_string_equal(col->ch[1].name, "gpu1");
	assert_string_equal(col->ch[0].device, "NVIDIA H200");
	assert_string_equal(col->ch[1].device, "A?[2Jtrick?");
	assert_true(col->ch[0].limit_w == 700);
	assert_true(col->ch[1].limit_w == 0); /* not supported there */
	assert_int_equal(col->ch[1].unit, 1);
	assert_int_equal(col->ch[0].domain, DOMAIN_GPU);
	assert_int_equal(col->ch[0].reading, READING_ENERGY);
	assert_true(col->ch[0].scale == 1000 && col->ch[0].wrap == 0 && col->ch[0].idle_w < 0);
	assert_reads(0, 5000);
	gpus(99, TWO);
	assert_reads(0, 5000);
	gpus(100, TWO);
	assert_reads(0, 15000);
	assert_reads(1, 14000);
	gpus(650, TWO); /* 100 W for 500 ms, then 700 W for 100 */
	assert_reads(0, 5000 + 50000 + 70000);
}

static void power_where_there_is_no_energy(void **state)
{
	gpus(0, TWO "gpu 0 fail energy 3\ngpu 1 fail energy 13\ngpu 1 fail instant 3\n");
	assert_int_equal(open_again(), 0);
	assert_int_equal(col->nch, 2);
	assert_int_equal(col->ch[0].reading, READING_POWER);
	assert_int_equal(col->ch[1].reading, READING_POWER);
	assert_string_equal(col->why, "gpu0: no energy counter, power is integrated; gpu1: no energy counter, power is "
				      "integrated; on most boards it is the mean of 1 s");
	assert_int_equal(col->ch[0].averaged_us, 0);
	assert_int_equal(col->ch[1].averaged_us, AVERAGED_UNKNOWN);
	assert_true(col->ch[0].resolution == 1000);
	assert_reads(0, 100000);
	gpus(600, TWO);
	assert_reads(0, 700000);
	assert_reads(1, 50000);
}

/* What the driver's header says of the call holds of the boards that have the other field. */
static void power_that_is_a_mean(void **state)
{
	gpus(0, TWO "gpu 0 fail energy 3\ngpu 0 fail instant 3\ngpu 0 averages\ngpu 1 averages\n");
	assert_int_equal(open_again(), 0);
	assert_int_equal(col->ch[0].reading, READING_POWER);
	assert_int_equal(col->ch[0].averaged_us, 1000000);
	assert_int_equal(col->ch[1].reading, READING_ENERGY);
	assert_int_equal(col->ch[1].averaged_us, 0);
}

static void sixteen_gpus(void **state)
{
	char text[2048] = "gpus 16\nrefresh_ms 20\n";
	size_t n = strlen(text);
	const char *bad;
	int i;

	for (i = 0; i < 16; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "gpu %d energy_mj %d\ngpu %d at 0 power %d\n", i,
				      1000 * (i + 1), i, 100000 * (i + 1));
	gpus(0, text);
	assert_int_equal(sampler_new_from(collectors, &fake_env, &fake_opts, "nvml", &sampler, &bad), 0);
	assert_int_equal(sampler_meters(sampler, &meters), 16);
	assert_int_equal(tick_after(0), 16);
	gpus(1000, text);
	assert_int_equal(tick_after(SECOND), 16);
	for (i = 0; i < 16; i++) {
		assert_int_equal(got.s[i].channel, i);
		assert_near(got.s[i].energy_uj, 100e6 * (i + 1), 1);
	}
}

/* Some boards have the call and a counter that stands at 0. */
static void energy_that_stands_at_zero_is_none(void **state)
{
	gpus(0, TWO "gpu 0 fail energy zero\ngpu 1 fail energy blank\n");
	assert_int_equal(open_again(), 0);
	assert_int_equal(col->ch[0].reading, READING_POWER);
	assert_int_equal(col->ch[1].reading, READING_POWER);
}

static void gpu_with_neither_is_left_out(void **state)
{
	gpus(0, TWO "gpu 0 fail energy 3\ngpu 0 fail instant 3\ngpu 0 fail power 4\n");
	assert_int_equal(open_again(), 0);
	assert_int_equal(col->nch, 1);
	assert_string_equal(col->ch[0].name, "gpu1");
	assert_int_equal(col->ch[0].unit, 1);
	assert_string_equal(col->why, "gpu0: neither energy nor power: no permission");
	assert_reads(0, 9000);
	gpus(0, TWO "gpu 1 fail handle 15\n");
	assert_int_equal(open_again(), 0);
	assert_int_equal(col->nch, 1);
	assert_string_equal(col->why, "gpu1: GPU is lost");
	gpus(0, TWO "gpu 1 fail handle 15\ngpu 0 fail handle 15\n");
	assert_int_equal(open_again(), -ENODEV);
	assert_string_equal(col->why, "gpu0: GPU is lost; gpu1: GPU is lost");
}

static void no_watts_at_all_is_no_power(void **state)
{
	gpus(0, TWO "gpu 0 fail energy 3\ngpu 0 fail instant zero\ngpu 0 fail power blank\n");
	assert_int_equal(open_again(), 0);
	assert_string_equal(col->why, "gpu0: neither energy nor power: no data");
	gpus(0, TWO "gpu 0 fail energy 3\ngpu 0 fail instant blank\ngpu 0 fail power zero\n");
	assert_int_equal(open_again(), 0);
	assert_string_equal(col->why, "gpu0: neither energy nor power: no data");
}

static void failures_while_running(void **state)
{
	static const char *const bad[] = {
		"gpu 0 fail energy 15\ngpu 1 fail instant 15\n",
		"gpu 0 fail energy blank\ngpu 1 fail instant blank\n",
		"gpu 0 fail energy 999\ngpu 1 fail instant zero\n",
	};
	char text[1024];
	size_t i;

	gpus(0, TWO "gpu 1 fail energy 3\n");
	assert_int_equal(open_again(), 0);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), TWO "%s", bad[i]);
		gpus(0, text);
		assert_false(reading(0).valid);
		assert_false(reading(1).valid);
		snprintf(text, sizeof(text), TWO "%.*s\n", (int)strcspn(bad[i], "\n"), bad[i]);
		gpus(0, text);
		assert_false(reading(0).valid); /* one GPU fails, the other goes on */
		assert_reads(1, 50000);
	}
	gpus(0, TWO);
	assert_reads(0, 5000);
}

/* All the way, with the registry as it is: what the sampler says is what the schedule spent, and at its steps. */
static void through_the_sampler(void **state)
{
	const char *bad;
	unsigned ms;
	int samples = 0;

	gpus(0, TWO);
	assert_int_equal(sampler_new_from(collectors, &fake_env, &fake_opts, "nvml", &sampler, &bad), 0);
	assert_int_equal(sampler_meters(sampler, &meters), 2);
	assert_int_equal(tick_after(0), 2);
	for (ms = 10; ms <= 1000; ms += 10) {
		gpus(ms, TWO);
		tick_after(10 * MS);
		assert_int_equal(got.n, ms % 100 ? 0 : 2);
		samples += got.n;
	}
	assert_int_equal(samples, 20);
	assert_near(got.s[0].energy_uj, (100 * 0.5 + 700 * 0.5) * 1e6, 1);
	assert_near(got.s[1].energy_uj, 50e6, 1);
	assert_int_equal(got.s[0].flags | got.s[1].flags, 0);
	/* The driver was loaded anew: the counter begins again. */
	gpus(1100, "gpus 2\ngpu 0 energy_mj 1\ngpu 1 energy_mj 60000\n");
	assert_int_equal(tick_after(100 * MS), 2);
	assert_int_equal(got.s[0].flags, SAMPLE_GAP);
	assert_near(got.s[0].energy_uj, 400e6, 1);
	assert_near(got.s[1].energy_uj, 51e6, 1);
}

static void closes_what_it_opened(void **state)
{
	gpus(0, TWO);
	assert_int_equal(open_again(), 0);
	assert_false(was_called("shutdown 0"));
	col->ops->close(col);
	assert_true(was_called("shutdown 0"));
	remove_file("log");
	col->ops->close(col);
	assert_false(was_called("shutdown 0"));
	gpus(0, "gpus 1\ninit 9\n");
	assert_int_equal(open_again(), -ENODEV);
	assert_false(was_called("shutdown 0")); /* what was not begun is not ended */
}

/* The thread that hangs is left behind; it cleans up when the driver has come to itself. */
static void init_that_hangs_is_left(void **state)
{
	uint64_t start = now_ns(), took;

	gpus(0, TWO "init hang\n");
	assert_int_equal(open_again(), -ETIMEDOUT);
	took = now_ns() - start;
	assert_true(took >= NVML_LOAD_MS * MS && took < 30 * SECOND);
	assert_string_equal(col->why, "nvmlInit did not come back in 2 s: the driver hangs");
	assert_false(was_called("shutdown 0"));
	gpus(0, TWO);
	while (!was_called("shutdown 0")) {
		assert_true(now_ns() - start < 30 * SECOND);
		usleep(10000);
	}
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_library),
		TEST(broken_library),
		TEST(library_of_another_machine),
		TEST(library_without_the_functions),
		TEST(init_failures_in_words),
		TEST(no_gpu),
		TEST(energy_of_all_gpus),
		TEST(power_where_there_is_no_energy),
		TEST(power_that_is_a_mean),
		TEST(sixteen_gpus),
		TEST(energy_that_stands_at_zero_is_none),
		TEST(gpu_with_neither_is_left_out),
		TEST(no_watts_at_all_is_no_power),
		TEST(failures_while_running),
		TEST(through_the_sampler),
		TEST(closes_what_it_opened),
		TEST(init_that_hangs_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
	return nvml_main(argv, run);
}
