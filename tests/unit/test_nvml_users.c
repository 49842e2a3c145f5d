// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Who computes on an NVIDIA GPU, and how much of it they use. */
#include "tests/unit/fake_nvml.h"

/* A driver from before Volta: no energy, no fields, the first version of the process list. */
static void old_driver(void **state)
{
	struct gpu_user u[4];

	install_stub("nvml_stub_old.so");
	gpus(0, "gpus 1\ngpu 0 name Tesla K80\ngpu 0 at 0 power 60000\ngpu 0 pid 17 sm 5\ngpu 0 pid 18 sm 5\n");
	assert_int_equal(open_again(), 0);
	assert_int_equal(col->ch[0].reading, READING_POWER);
	assert_reads(0, 60000);
	assert_int_equal(col->ops->users(col, 0, u, 4), 2);
	assert_int_equal(u[0].pid, 17);
	assert_int_equal(u[1].pid, 18);
	assert_int_equal(u[1].util_permille, -1);
}

static void driver_with_the_second_process_list(void **state)
{
	struct gpu_user u[4];

	install_stub("nvml_stub_r450.so");
	gpus(0, "gpus 1\ngpu 0 energy_mj 7\ngpu 0 pid 17 sm 5\ngpu 0 pid 18 sm 6\n");
	assert_int_equal(open_again(), 0);
	assert_reads(0, 7);
	assert_int_equal(col->ops->users(col, 0, u, 4), 2);
	assert_int_equal(u[0].pid, 17);
	assert_int_equal(u[1].pid, 18);
	assert_int_equal(u[1].util_permille, 60);
}

#define USERS "gpus 1\ngpu 0 energy_mj 1\n"                                                                            \
	      "gpu 0 pid 100 sm 60\ngpu 0 pid 200 sm 0\ngpu 0 pid 300 sm 7\ngpu 0 pid 100 sm 60\n"

static void users_and_their_share(void **state)
{
	struct gpu_user u[4] = { 0 };

	gpus(1000, USERS);
	assert_int_equal(open_again(), 0);
	assert_int_equal(col->ops->users(col, 0, u, 4), 3); /* 100 is listed twice */
	assert_int_equal(u[0].pid, 100);
	assert_int_equal(u[1].pid, 200);
	assert_int_equal(u[2].pid, 300);
	assert_int_equal(u[0].util_permille, 600);
	assert_int_equal(u[1].util_permille, 0);
	assert_int_equal(u[2].util_permille, 70);
	assert_true(was_called("usage 0"));
}

/* No newer sample is not the same as no use; the driver is asked for what is newer than the newest seen. */
static void use_is_kept_until_it_is_old(void **state)
{
	struct gpu_user u[4] = { 0 };

	gpus(1000, USERS);
	assert_int_equal(open_again(), 0);
	assert_int_equal(col->ops->users(col, 0, u, 4), 3);
	gpus(1010, USERS);
	fake.now += 10 * MS;
	assert_int_equal(col->ops->users(col, 0, u, 4), 3);
	assert_true(was_called("usage 1200000"));
	assert_int_equal(u[0].util_permille, 600);
	gpus(3000, "gpus 1\ngpu 0 energy_mj 1\ngpu 0 pid 100 sm 0\n");
	fake.now += 2 * SECOND;
	assert_int_equal(col->ops->users(col, 0, u, 4), 1);
	assert_int_equal(u[0].util_permille, 0);
	gpus(3200, USERS "gpu 0 fail usage 3\n");
	assert_int_equal(col->ops->users(col, 0, u, 4), 3);
	assert_int_equal(u[0].util_permille, -1);
}

static void use_that_was_never_seen_is_unknown(void **state)
{
	struct gpu_user u[1] = { 0 };

	gpus(1000, "gpus 1\ngpu 0 energy_mj 1\ngpu 0 pid 5 sm 0\n");
	assert_int_equal(open_again(), 0);
	assert_int_equal(col->ops->users(col, 0, u, 1), 1);
	assert_int_equal(u[0].util_permille, -1);
}

/* Drivers differ in the size of a record without saying so. */
static void records_of_either_size(void **state)
{
	struct gpu_user u[4] = { 0 };

	gpus(1000, USERS "record_bytes 32\n");
	assert_int_equal(open_again(), 0);
	assert_int_equal(col->ops->users(col, 0, u, 4), 3);
	assert_int_equal(u[1].pid, 200);
	assert_int_equal(u[2].pid, 300);
	gpus(1000, "record_bytes 32\ngpus 1\ngpu 0 pid 9 sm 1\n");
	assert_int_equal(col->ops->users(col, 0, u, 4), 1);
	assert_int_equal(u[0].pid, 9);
	gpus(1000, "gpus 1\n");
	assert_int_equal(col->ops->users(col, 0, u, 4), 0);
}

static void more_users_than_room(void **state)
{
	char text[16000] = "gpus 1\ngpu 0 energy_mj 1\n";
	struct gpu_user u[2] = { { 0 } };
	size_t n = strlen(text);
	int i;

	for (i = 0; i < 500; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "gpu 0 pid %d sm 1\n", 1000 + i);
	gpus(1000, text);
	assert_int_equal(open_again(), 0);
	assert_int_equal(col->ops->users(col, 0, u, 1), 500);
	assert_int_equal(u[0].pid, 1000);
	assert_int_equal(u[1].pid, 0); /* not written */
	for (; i < 520; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "gpu 0 pid %d sm 1\n", 1000 + i);
	gpus(1000, text);
	assert_int_equal(col->ops->users(col, 0, u, 1), -EIO);
}

static void users_that_cannot_be_known(void **state)
{
	struct gpu_user u[1];

	gpus(1000, USERS "gpu 0 fail processes 4\n");
	assert_int_equal(open_again(), 0);
	assert_int_equal(col->ops->users(col, 0, u, 1), -EPERM);
	gpus(1000, USERS "gpu 0 fail processes 3\n");
	assert_int_equal(col->ops->users(col, 0, u, 1), -ENOTSUP);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		TEST(old_driver),
		TEST(driver_with_the_second_process_list),
		TEST(users_and_their_share),
		TEST(use_is_kept_until_it_is_old),
		TEST(use_that_was_never_seen_is_unknown),
		TEST(records_of_either_size),
		TEST(more_users_than_room),
		TEST(users_that_cannot_be_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
	return nvml_main(argv, run);
}
