/* Memory of a client that is slow to come, or never comes, and large memory. */
#include "attack.h"
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

static int peer;
static char *memory;

struct send_2026 {
	__u64 flags, n_destinations, destinations, errors, message;
};
#define RELEASE_2026 _IOWR(0x97, 0x01, __u64[3])
#define SEND_2026 _IOWR(0x97, 0x02, struct send_2026)
#define RECV_2026 _IOWR(0x97, 0x03, __u64[3])

/* A call that needs memory of the client, which is at `at`, in one of its arguments after the other. */
static int call_with(int fd, int fd_2026, int which, void *at)
{
	static __u64 own = 8;
	static int errors[1];
	static char text[] = "text";
	struct iovec vec = { text, sizeof text };
	struct bus1_cmd_send send = { .flags = BUS1_SEND_FLAG_CONTINUE, .ptr_destinations = (uintptr_t)&own, .n_destinations = 1, .ptr_errors = (uintptr_t)errors, .ptr_vecs = (uintptr_t)&vec, .n_vecs = 1, .ptr_handles = (uintptr_t)&own, .n_handles = 1 };
	switch (which % 11) {
	case 0:
		vec.iov_base = at;
		break;
	case 1:
		send.ptr_vecs = (uintptr_t)at;
		break;
	case 2:
		send.ptr_destinations = (uintptr_t)at;
		break;
	case 3:
		send.ptr_handles = (uintptr_t)at;
		break;
	case 4:
		send.ptr_fds = (uintptr_t)at;
		send.n_fds = 1;
		break;
	case 5:
		send.ptr_errors = (uintptr_t)at;
		break;
	case 6:
		return destroy(fd, 0, at, 8);
	case 7:
		return command(fd_2026, TRANSFER_2026, &(struct transfer_2026){ 0, -1, 1, (uintptr_t)at, (uintptr_t)&own });
	case 8:
		return command(fd_2026, RELEASE_2026, (__u64[]){ 0, 4, (uintptr_t)at });
	case 9:
		return command(fd_2026, SEND_2026, &(struct send_2026){ 0, 1, (uintptr_t)&own, 0, (uintptr_t)at });
	case 10:
		return command(fd_2026, RECV_2026, (__u64[]){ 0, (uintptr_t)at, (uintptr_t)at });
	}
	return command(fd, BUS1_CMD_SEND, &send);
}

/* Its own page for each. */
static void *call_once(void *which)
{
	int i = (uintptr_t)which;
	call_with(peer, peer_open(), i, memory + i * 4096);
	return NULL;
}

static void pages_that_never_come(void)
{
	pid_t server = files_of(ATTACKER, "");
	become(ATTACKER);
	own->read = NEVER;
	peer = peer_open();
	memory = own_memory("a", 1 << 20);
	for (int i = 0; i < 44; i++) start(call_once, (void *)(uintptr_t)i);
	sleep_ms(ATTACK_MS);
	end_server(server);
}

static void *call_again_and_again(void *which)
{
	char name[] = { 'a' + (uintptr_t)which, 0 };
	char *pages = own_memory(name, FILE_SIZE);
	int fd = peer_open(), fd_2026 = peer_open();
	struct bus1_cmd_recv recv;
	for (int i = 0;; i++) {
		call_with(fd, fd_2026, i, pages + i % (FILE_SIZE / 4096) * 4096);
		if (recv_message(fd, &recv) == 0) slice_release(fd, recv.msg.offset);
	}
	return NULL;
}

/* Each page a little later than the daemon would wait for it. */
static void pages_that_come_late(void)
{
	pid_t server = files_of(ATTACKER, "");
	become(ATTACKER);
	own->read = 5;
	for (uintptr_t i = 0; i < 24; i++) start(call_again_and_again, (void *)i);
	sleep_ms(ATTACK_MS);
	end_server(server);
}

static void *read_own_memory(void *at)
{
	char byte;
	int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	if (pread(fd, &byte, 1, (uintptr_t)at) < 0) return NULL;
	return NULL;
}

static volatile bool is_locked;

static void *map_something(void *unused)
{
	while (own->reads == 0) sleep_ms(1);
	sleep_ms(50);
	is_locked = true;
	mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return unused;
}

static void *send_plain(void *unused)
{
	while (!is_locked) sleep_ms(1);
	sleep_ms(50);
	send_text(peer, 8, "plain");
	return unused;
}

/* Memory that is there, in an address space whose lock is held by one thread for ever, and wanted by another. */
static void plain_memory_behind_a_lock(void)
{
	become(ATTACKER);
	pid_t server = own_files();
	own->read = NEVER;
	peer = peer_open();
	memory = own_memory("a", 1 << 20);
	EXPECT(send_text(peer, 8, "plain"), 0);
	/* whoever starts later would wait for the lock as well */
	for (int i = 0; i < 3; i++) start(send_plain, NULL);
	start(map_something, NULL);
	start(read_own_memory, memory);
	sleep_ms(ATTACK_MS);
	end_server(server);
}

/* The pages of a checkpoint that is restored lazily, by a server that hangs. */
static void pages_of_a_page_server(void)
{
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	struct uffdio_api api = { .api = UFFD_API };
	if (fd < 0) return; /* not in this kernel */
	CHECK(ioctl(fd, UFFDIO_API, &api) == 0);
	memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register all = { .range = { (uintptr_t)memory, 1 << 20 }, .mode = UFFDIO_REGISTER_MODE_MISSING };
	CHECK(ioctl(fd, UFFDIO_REGISTER, &all) == 0);
	peer = peer_open();
	for (int i = 0; i < 22; i++) start(call_once, (void *)(uintptr_t)i);
	sleep_ms(ATTACK_MS);
	close(fd);
}

static int set_seed(int fd, const void *payload, size_t size)
{
	struct iovec vec = { (void *)payload, size };
	struct bus1_cmd_send send = { .flags = BUS1_SEND_FLAG_SEED, .ptr_vecs = (uintptr_t)&vec, .n_vecs = 1 };
	return command(fd, BUS1_CMD_SEND, &send);
}

#define LARGE (200UL << 20)

static void *set_large_seed(void *unused)
{
	int fd = peer_open();
	set_seed(fd, memory, LARGE);
	return unused;
}

/* One message of 200 MiB after the other: those too that take nothing of the bytes in flight. */
static void large_payloads(void)
{
	pthread_t threads[3];
	become(ATTACKER);
	memory = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	CHECK(memory != MAP_FAILED);
	for (int i = 0; i < 3; i++) CHECK(pthread_create(&threads[i], NULL, set_large_seed, NULL) == 0);
	for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
}

static void *send_for_ever(void *unused)
{
	set_seed(peer, memory, 40 << 20);
	return unused;
}

/* A copy that takes longer than the daemon waits for comes to its end all the same. */
static void a_large_payload_arrives(void)
{
	become(ATTACKER);
	peer = peer_open();
	memory = mmap(NULL, 40 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	CHECK(memory != MAP_FAILED);
	pthread_t thread;
	struct timespec end;
	CHECK(pthread_create(&thread, NULL, send_for_ever, NULL) == 0);
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 5;
	CHECK(pthread_timedjoin_np(thread, NULL, &end) == 0);
}

static char *half_slow;
static __u64 handle;

/* Its first part comes along with the arrays that name it; the rest never comes. */
static void *send_what_does_not_end(void *unused)
{
	static char plain[65536];
	struct iovec vecs[] = { { plain, sizeof plain }, { half_slow, 65536 } };
	struct bus1_cmd_send send = { .ptr_destinations = (uintptr_t)&handle, .n_destinations = 1, .ptr_vecs = (uintptr_t)vecs, .n_vecs = 2 };
	command(peer, BUS1_CMD_SEND, &send);
	return unused;
}

/* What a user's calls that wait take of a service leaves as much to others as what they have sent. */
static void a_service_of_others(void)
{
	int service = peer_of(VICTIM), other = peer_of(OTHER);
	peer = peer_of(ATTACKER);
	handle = give(service, 8, peer);
	__u64 others = give(service, 8, other);
	EXPECT(reset(service, RESET(.max_slices = 12)), 0);
	pid_t server = files_of(ATTACKER, "");
	own->read = NEVER;
	if (fork() == 0) {
		become(ATTACKER);
		half_slow = own_memory("a", 65536);
		for (int i = 0; i < 16; i++) start(send_what_does_not_end, NULL);
		pause();
	}
	while (own->reads == 0) sleep_ms(1);
	sleep_ms(300);
	EXPECT(send_text(other, others, "another's"), 0);
	end_server(server);
}

/* As many users as there are: those that a subuid range gives to each. */
static void many_users(void)
{
	pid_t server = files_of(ATTACKER, ",allow_other");
	own->read = NEVER;
	memory = own_memory("a", 1 << 20);
	for (int i = 0; i < 70; i++) {
		if (fork() > 0) continue;
		become(100000 + i);
		peer = peer_open();
		for (int j = 0; j < 16; j++) start(call_once, (void *)0);
		pause();
	}
	sleep_ms(ATTACK_MS);
	end_server(server);
}

/* Another user's file system, which the attacker has mapped as well, is nobody's to end. */
static void another_file_system(void)
{
	pid_t good = files_of(OTHER, ",allow_other");
	char *theirs = own_memory("a", 4096);
	if (fork() == 0) {
		pid_t bad = files_of(ATTACKER, "");
		become(ATTACKER);
		own->read = NEVER;
		peer = peer_open();
		memory = own_memory("a", 1 << 20);
		for (int i = 0; i < 11; i++) start(call_once, (void *)(uintptr_t)i);
		sleep_ms(ATTACK_MS);
		end_server(bad);
		_exit(*(volatile char *)theirs);
	}
	CHECK(wait(NULL) > 0);
	char byte;
	int fd = own_open("b", O_RDONLY);
	CHECK(pread(fd, &byte, 1, 0) == 1);
	end_server(good);
}

/* A call that runs again looks which of two opens of one inode a descriptor is; requests of others meanwhile are not lost. */
static void a_call_that_runs_again(void)
{
	struct {
		volatile long long begun, worst;
	} *other = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t server = files_of(ATTACKER, "");
	char path[64];
	become(ATTACKER);
	int first = peer_open();
	sprintf(path, "/proc/self/fd/%d", first);
	int second = open(path, O_RDWR | O_CLOEXEC);
	CHECK(second >= 0);
	pid_t child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int fd = peer_open();;) {
			struct bus1_cmd_peer_reset answer;
			other->begun = own_clock();
			query(fd, &answer);
			long long took = own_clock() - other->begun;
			if (took > other->worst) other->worst = took;
		}
	}
	own->read = 5;
	memory = own_memory("a", 1 << 20);
	for (int i = 0; i < 8 && other->worst < PROMPT_MS; i++) {
		__u64 target[2];
		command(first, TRANSFER_2026,
			&(struct transfer_2026){ 0, second, 1, (uintptr_t)(memory + i * 4096), (uintptr_t)target });
		sleep_ms(100);
		if (own_clock() - other->begun >= 50) {
			sleep_ms(PROMPT_MS);
			long long took = own_clock() - other->begun;
			if (took > other->worst) other->worst = took;
		}
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	end_server(server);
	CHECK(other->worst < PROMPT_MS);
}

MAIN(CASE(pages_that_never_come), CASE(pages_that_come_late), CASE(plain_memory_behind_a_lock), CASE(pages_of_a_page_server),
     CASE(large_payloads), CASE(a_large_payload_arrives), CASE(a_service_of_others), CASE(many_users), CASE(another_file_system),
     CASE(a_call_that_runs_again))
