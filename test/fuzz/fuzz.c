/*
 * Says to the device what its grammar has, right and wrong, from processes of several users that come and go.
 *
 *   fuzz DEVICE SEED MS WORKERS
 *
 * The same seed makes the same choices; what becomes of them depends on who comes first, unless there is one worker. Prints
 * how often what happened, and lines that begin with "wrong: " for what must not have.
 */
#include "grammar.h"
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fsuid.h>
#include <sys/resource.h>
#include <sys/time.h>

#define PEERS 10
#define KNOWN 48
#define ARENA (1 << 20)
#define USERS 3
#define MAX_PROCESSES 400

struct peer {
	int fd;
	int abi;
	__u64 handles[KNOWN], slices[KNOWN];
	unsigned n_handles, n_slices;
	char *map;
	size_t map_size;
};

static struct {
	volatile long calls, succeeded, opened, processes, threads, kills, stops, descriptors, suspendable;
	volatile long errnos[200];
	volatile int wrong;
} * counts;

static struct peer peers[PEERS];
static int exchange[2];
static char *slow_memory;
static volatile size_t slow_used;
static __thread __u64 random_state;
static __thread char *arena;
static __thread size_t arena_used;

#define ADD(what) __atomic_add_fetch(&counts->what, 1, __ATOMIC_RELAXED)

static unsigned any(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1dULL >> 33;
}

/* Less than n. */
static unsigned below(unsigned n)
{
	return any() % n;
}

static bool one_in(unsigned n)
{
	return below(n) == 0;
}

static void seed(__u64 a, __u64 b)
{
	random_state = (a * 0x9e3779b97f4a7c15ULL ^ b * 0xbf58476d1ce4e5b9ULL) | 1;
	for (int i = 0; i < 8; i++) any();
}

static void wrong(const char *what, long long value)
{
	if (__atomic_add_fetch(&counts->wrong, 1, __ATOMIC_RELAXED) < 10) printf("wrong: %s (%lld)\n", what, value), fflush(stdout);
}

/* ---- values */

static __u64 odd_value(void)
{
	static const __u64 values[] = { 0, 1, 2, 3, 7, 8, 9, 255, 256, 257, 1024, 1025, 65535, 65536, 65537, 0x7fffffff, 0x80000000,
					0xffffffff, 0x100000000, 0x1fffffff8, 0x7ffff000, 1ULL << 53, (1ULL << 53) + 1, 1ULL << 62,
					1ULL << 63, -1, -2, -8, -4096, 0x7ffffffff000, 0x7ffffffff001, 0xffff888000000000 };
	return one_in(3) ? (__u64)any() << below(40) : values[below(sizeof values / sizeof *values)];
}

static void *odd_pointer(void)
{
	switch (below(7)) {
	case 0:
		return NULL;
	case 1:
		return arena + ARENA; /* not mapped */
	case 2:
		return arena + ARENA + 8192; /* not readable */
	case 3:
		return arena + ARENA + 4096; /* not writable */
	case 4:
		return arena + ARENA - below(64); /* ends soon */
	case 5:
		return arena + 1 + below(7); /* not aligned */
	default:
		return (void *)odd_value();
	}
}

static void *allocate(size_t size)
{
	size_t at = arena_used;
	arena_used = (arena_used + size + 15) / 16 * 16;
	if (arena_used > ARENA) return arena_used = size, arena;
	return arena + at;
}

/* Zeros that are not there yet, for anybody. */
static void *slow(size_t size)
{
	size_t pages = size / 4096 + 1, at = __atomic_fetch_add(&slow_used, pages * 4096, __ATOMIC_RELAXED);
	if (slow_memory == NULL || at + pages * 4096 > FILE_SIZE) return NULL;
	ADD(suspendable);
	return slow_memory + at;
}

static struct peer *any_peer(void)
{
	return &peers[below(PEERS)];
}

static __u64 any_handle(const struct peer *peer)
{
	unsigned known = peer->n_handles < KNOWN ? peer->n_handles : KNOWN;
	if (known > 0 && !one_in(4)) return peer->handles[below(known)];
	if (peer->abi == 1) return below(40) * 2 + 1;
	return one_in(12) ? odd_value() : (below(12) + 1) * 4;
}

static void learn(__u64 *known, unsigned *count, __u64 value)
{
	if (value == BUS1_HANDLE_INVALID) return;
	known[*count < KNOWN ? *count : below(KNOWN)] = value;
	if (*count < KNOWN) *count += 1;
}

static int any_file(void)
{
	int pair[2] = { -1, -1 };
	switch (one_in(4) ? below(14) : below(8)) {
	case 0:
		if (pipe2(pair, O_CLOEXEC) == 0) close(pair[1]);
		return pair[0];
	case 1:
		return memfd_create("fuzz", MFD_CLOEXEC);
	case 2:
		return open("/dev/zero", O_RDWR | O_CLOEXEC);
	case 3:
		return eventfd(0, EFD_CLOEXEC);
	case 4: {
		int epoll = epoll_create1(EPOLL_CLOEXEC);
		epoll_ctl(epoll, EPOLL_CTL_ADD, any_peer()->fd, &(struct epoll_event){ .events = EPOLLIN });
		return epoll;
	}
	case 5:
		return open("/dev/null", O_PATH | O_CLOEXEC);
	case 6:
		return open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	case 7:
		return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	case 8:
		return syscall(SYS_pidfd_open, getpid(), 0);
	case 9:
		return slow_memory ? open("/mnt/f", O_RDONLY | O_CLOEXEC) : -1;
	case 10:
		return dup(any_peer()->fd);
	case 11:
		return -(int)below(3);
	case 12:
		return open(device, O_PATH | O_CLOEXEC);
	default:
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0) close(pair[1]);
		return pair[0];
	}
}

/* ---- structures */

static __thread int opened[2048];
static __thread unsigned n_opened;

static void set(void *at, unsigned size, __u64 value)
{
	memcpy(at, &value, size);
}

static __u64 get(const void *at, unsigned size)
{
	__u64 value = 0;
	memcpy(&value, at, size);
	return value;
}

static unsigned any_count(unsigned most)
{
	if (most == 1) return 1;
	if (one_in(400)) return most * below(100);
	return one_in(5) ? below(most + 1) : below(4);
}

static void fill(const struct peer *peer, const struct shape *shape, char *at);

static void *fill_array(const struct peer *peer, const struct shape *shape, unsigned count)
{
	if (count * shape->size < 5000 && one_in(60)) {
		void *memory = slow(count * shape->size);
		if (memory) return memory;
	}
	char *array = allocate(count * shape->size);
	if (array + count * shape->size > arena + ARENA) return arena;
	for (unsigned i = 0; i < count; i++) fill(peer, shape, array + i * shape->size);
	return array;
}

static void fill_vector(char *at)
{
	size_t length = one_in(30) ? below(300000) : below(400);
	char *payload = length < 5000 && one_in(60) ? slow(length) : NULL;
	if (payload == NULL) payload = arena + below(ARENA - 400);
	if (payload >= arena && payload + length > arena + ARENA) length = arena + ARENA - payload;
	set(at, 8, (uintptr_t)payload);
	set(at + 8, 8, length);
}

static void fill(const struct peer *peer, const struct shape *shape, char *at)
{
	unsigned lengths[256];
	memset(at, 0, shape->size);
	for (const struct field *field = shape->fields; field->size; field++) {
		__u64 value = 0;
		switch (field->kind) {
		case FLAGS:
			value = one_in(3) ? any() & field->detail : 0;
			if (field->detail == 1 && one_in(2)) value = -1;
			if (field->detail == 3 && one_in(30) == 0) value &= 1;
			break;
		case HANDLE:
			value = any_handle(peer);
			break;
		case SLICE:
			value = peer->n_slices > 0 ? peer->slices[below(peer->n_slices < KNOWN ? peer->n_slices : KNOWN)] : odd_value();
			break;
		case LIMIT:
			value = one_in(6) ? (int)below(field->detail) : -1;
			break;
		case PEER:
			value = one_in(4) ? -1 : any_peer()->fd;
			break;
		case FILES: {
			int file = any_file();
			if (file >= 0 && n_opened < 2048) opened[n_opened++] = file;
			value = (unsigned)file;
			break;
		}
		case NUMBER:
			value = field->detail == 600 ? below(600) : field->detail;
			break;
		case POINTER:
			lengths[field->offset / 4] = any_count(field->detail);
			if (field->target == &FILE_ENTRY && !one_in(6)) lengths[field->offset / 4] = 0;
			value = (uintptr_t)fill_array(peer, field->target, lengths[field->offset / 4]);
			break;
		case ADDRESS:
			fill_vector(at);
			continue;
		default:
			continue;
		}
		set(at + field->offset, field->size, value);
	}
	for (const struct field *field = shape->fields; field->size; field++) {
		if (field->kind == COUNT) set(at + field->offset, field->size, lengths[field->detail / 4]);
	}
}

/* Makes one field of it, or of what it points to, what it should not be. */
static void spoil(const struct shape *shape, char *at)
{
	unsigned n = 0;
	while (shape->fields[n].size) n++;
	const struct field *field = &shape->fields[below(n)];
	char *value = at + field->offset, *target = (char *)get(value, field->size);
	switch (field->kind) {
	case POINTER:
		if (one_in(3) && target >= arena && target + field->target->size <= arena + ARENA) return spoil(field->target, target);
		return set(value, field->size, (uintptr_t)odd_pointer());
	case ADDRESS:
		if (one_in(2)) return set(value, 8, (uintptr_t)odd_pointer());
		return set(value + 8, 8, odd_value());
	case COUNT:
		if (one_in(2)) return set(value, field->size, get(value, field->size) + below(5) - 2);
		return set(value, field->size, odd_value());
	default:
		return set(value, field->size, odd_value());
	}
}

/* ---- calls */

/* What the contract knows; ENOTTY of a file of the other ABI. */
static const int ERRNOS[] = { EAGAIN, EBADF, EBUSY, EDQUOT, EFAULT, EINVAL, EMFILE, EMSGSIZE, ENFILE, ENOMEM, ENOTTY, ENOTUNIQ,
			      ENXIO, EOPNOTSUPP, EPERM, ERANGE, EREMOTE, ESHUTDOWN, ESTALE, EXFULL, EBADRQC };

static bool is_known(int error)
{
	for (size_t i = 0; i < sizeof ERRNOS / sizeof *ERRNOS; i++)
		if (ERRNOS[i] == error) return true;
	return false;
}

static int call(int fd, unsigned long number, void *argument)
{
	int r = command(fd, number, argument);
	ADD(calls);
	if (r >= 0) ADD(succeeded);
	else if (-r < 200) ADD(errnos[-r]);
	return r;
}

/* What a received message of 2016 has in the pool. */
static void look_at(struct peer *peer, const struct bus1_cmd_recv *recv)
{
	__u64 offset = recv->msg.offset, bytes = (recv->msg.n_bytes + 7) / 8 * 8;
	if (recv->msg.type != BUS1_MSG_DATA) return;
	size_t size = bytes + recv->msg.n_handles * 8 + recv->msg.n_fds * 4;
	if (offset % 8 || offset + size > 0x1ffffff8) return wrong("a slice is not in the pool", offset);
	size_t start = offset / 4096 * 4096;
	char *map = mmap(NULL, offset + size - start + 1, PROT_READ, MAP_SHARED, peer->fd, start);
	if (map == MAP_FAILED) return; /* disconnected meanwhile */
	const __u64 *handles = (const void *)(map + offset - start + bytes);
	const int *files = (const void *)(handles + recv->msg.n_handles);
	for (__u64 i = 0; i < recv->msg.n_handles && i < KNOWN; i++) learn(peer->handles, &peer->n_handles, handles[i]);
	for (__u64 i = 0; (recv->flags & BUS1_RECV_FLAG_INSTALL_FDS) && i < recv->msg.n_fds; i++) {
		/* on a peer that others use too, the slice may be another message's by now */
		if (files[i] > 2 && fcntl(files[i], F_GETFD) == FD_CLOEXEC) close(files[i]), ADD(descriptors);
	}
	munmap(map, offset + size - start + 1);
}

static const struct row *any_row(const struct row *rows)
{
	int sum = 0;
	for (const struct row *row = rows; row->name; row++) sum += row->weight;
	int at = below(sum);
	const struct row *row = rows;
	while (at >= row->weight) at -= row++->weight;
	return row;
}

static void learn_from(struct peer *peer, const struct shape *shape, const char *at)
{
	for (const struct field *field = shape->fields; field->size; field++) {
		__u64 value = get(at + field->offset, field->size);
		if (field->kind == GIVES_HANDLE) learn(peer->handles, &peer->n_handles, value);
		if (field->kind == GIVES_SLICE) learn(peer->slices, &peer->n_slices, value);
		const char *target = (const char *)value;
		if (field->kind == POINTER && target >= arena && target + field->target->size <= arena + ARENA)
			learn_from(peer, field->target, target);
	}
}

static void close_peer(struct peer *peer);

static void say_something(struct peer *peer)
{
	bool is_stray = one_in(200);
	const struct row *row = any_row(ABIS[is_stray ? !peer->abi : peer->abi]);
	const struct shape *shape = row->argument;
	arena_used = n_opened = 0;
	char *argument = allocate(shape->size);
	fill(peer, shape, argument);
	if (one_in(6)) spoil(shape, argument);
	if (row->number == BUS1_CMD_PEER_DISCONNECT && !one_in(5)) set(argument, 8, odd_value());
	__u64 flags = get(argument, 8);
	void *at = one_in(300) ? odd_pointer() : argument;
	int r = call(peer->fd, row->number, at);
	if (r < 0 && !is_known(-r)) wrong(row->name, r);
	if (r > 0) wrong(row->name, r);
	if (r == -ENOTTY && !is_stray) peer->abi = !peer->abi;
	if ((r == -ENXIO || r == -EBADRQC) && one_in(4)) peer->n_handles = 0;
	if (r == -ESHUTDOWN && one_in(4)) close_peer(peer);
	if (r == 0 && at == argument) {
		if (row->number != BUS1_CMD_RECV || get(argument + 16, 8) == BUS1_MSG_DATA) learn_from(peer, shape, argument);
		if (row->number == BUS1_CMD_RECV) {
			if (get(argument, 8) != flags) wrong("RECV changes its flags", flags);
			look_at(peer, (const void *)argument);
		}
	}
	while (n_opened > 0) close(opened[--n_opened]);
}

static void say_nonsense(struct peer *peer)
{
	static const int directions[] = { _IOC_NONE, _IOC_READ, _IOC_WRITE, _IOC_READ | _IOC_WRITE };
	unsigned long number = _IOC(directions[below(4)], one_in(2) ? 0x96 + below(2) : below(256), below(256), below(1 << _IOC_SIZEBITS));
	for (int i = 0; i < 64; i++) set(arena + i * 8, 8, odd_value());
	call(peer->fd, number, one_in(4) ? odd_pointer() : arena);
}

/* ---- files */

static void open_peer(struct peer *peer)
{
	static const int modes[] = { O_RDWR, O_RDWR, O_RDWR, O_RDONLY, O_WRONLY, O_RDWR | O_NONBLOCK };
	char path[64];
	struct peer *other = any_peer();
	snprintf(path, sizeof path, "/proc/self/fd/%d", other->fd);
	bool is_second = one_in(15) && other->fd >= 0;
	int fd = open(is_second ? path : device, modes[below(6)] | (one_in(8) ? 0 : O_CLOEXEC));
	*peer = (struct peer){ .fd = fd, .abi = one_in(3) };
	if (fd >= 0) ADD(opened);
}

static void unmap(struct peer *peer)
{
	char *map = __atomic_exchange_n(&peer->map, NULL, __ATOMIC_RELAXED);
	if (map) munmap(map, peer->map_size);
}

static void map(struct peer *peer)
{
	size_t size = 4096UL << below(18);
	int protection = one_in(5) ? PROT_READ | PROT_WRITE : PROT_READ;
	char *at = mmap(NULL, size, protection, one_in(6) ? MAP_PRIVATE : MAP_SHARED, peer->fd, one_in(4) ? 4096UL * below(1000) : 0);
	if (at == MAP_FAILED) return;
	if (one_in(3)) madvise(at, size, one_in(2) ? MADV_DONTNEED : MADV_REMOVE);
	if (one_in(3)) mprotect(at, size, PROT_READ | PROT_WRITE);
	volatile char byte = at[below(4096)];
	(void)byte;
	unmap(peer);
	peer->map_size = size;
	peer->map = at;
}

static void close_peer(struct peer *peer)
{
	unmap(peer);
	if (peer->fd > 2) close(peer->fd);
	peer->fd = -1;
}

static void pass(int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof fd)] = { 0 };
	struct iovec vec = { &byte, 1 };
	struct msghdr header = { .msg_iov = &vec, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
	*rights = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(rights), &fd, sizeof fd);
	sendmsg(exchange[0], &header, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void take(struct peer *peer)
{
	int fd;
	char byte, control[CMSG_SPACE(sizeof fd)] = { 0 };
	struct iovec vec = { &byte, 1 };
	struct msghdr header = { .msg_iov = &vec, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	if (recvmsg(exchange[1], &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0 || CMSG_FIRSTHDR(&header) == NULL) return;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&header)), sizeof fd);
	close_peer(peer);
	*peer = (struct peer){ .fd = fd, .abi = one_in(3) };
}

static void wait_a_little(struct peer *peer)
{
	struct pollfd pollfds[3] = { { peer->fd, POLLIN | POLLOUT, 0 }, { any_peer()->fd, POLLIN, 0 }, { any_peer()->fd, POLLPRI, 0 } };
	int epoll;
	if (one_in(3)) {
		poll(pollfds, 3, below(3));
		return;
	}
	if ((epoll = epoll_create1(EPOLL_CLOEXEC)) < 0) return;
	for (int i = 0; i < 3; i++) {
		struct epoll_event event = { .events = EPOLLIN | (one_in(2) ? EPOLLET : 0) | (one_in(4) ? EPOLLONESHOT : 0) };
		epoll_ctl(epoll, EPOLL_CTL_ADD, pollfds[i].fd, &event);
	}
	struct epoll_event events[3];
	epoll_wait(epoll, events, 3, below(3));
	close(epoll);
}

/* Of several threads one may have closed what another one uses, and the number may be something else's by then. */
static volatile bool has_threads;

static void expect_refused(bool is_refused, const char *what)
{
	if (!is_refused && !has_threads) wrong(what, 0);
}

static void use_otherwise(struct peer *peer)
{
	char bytes[8];
	struct stat stat;
	switch (below(6)) {
	case 0:
		expect_refused(read(peer->fd, bytes, 8) < 0, "read() of a peer succeeds");
		break;
	case 1:
		expect_refused(write(peer->fd, bytes, 8) < 0, "write() to a peer succeeds");
		break;
	case 2:
		lseek(peer->fd, below(100), SEEK_SET);
		break;
	case 3:
		fstat(peer->fd, &stat);
		break;
	case 4:
		fcntl(peer->fd, F_SETFL, one_in(2) ? O_NONBLOCK : 0);
		break;
	default:
		expect_refused(ftruncate(peer->fd, 1 + below(100)) < 0, "ftruncate() of a peer succeeds");
	}
}

/* ---- processes */

static void *work_a_little(void *seed);
static char **arguments;
static int depth;

static void prepare_thread(void)
{
	arena = mmap(NULL, ARENA + 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(arena != MAP_FAILED);
	munmap(arena + ARENA, 4096);
	mprotect(arena + ARENA + 4096, 4096, PROT_READ);
	mprotect(arena + ARENA + 8192, 4096, PROT_NONE);
}

static void step(void);

static void fork_one(void)
{
	if (counts->processes > MAX_PROCESSES || depth > 2) return;
	__u64 own = random_state;
	unsigned steps = below(200), end = below(4);
	pid_t child = fork();
	if (child > 0) {
		if (one_in(3)) kill(child, SIGKILL);
		return;
	}
	if (child < 0) return;
	ADD(processes);
	depth++;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	seed(own, 7);
	while (steps-- > 0) step();
	if (end == 0) kill(getpid(), SIGKILL);
	if (end == 1) execl("/proc/self/exe", "fuzz", arguments[1], arguments[2], "again", NULL);
	_exit(0);
}

static void start_one(void)
{
	static volatile int running;
	pthread_t thread;
	has_threads = true;
	if (running > 4 || pthread_create(&thread, NULL, work_a_little, (void *)(uintptr_t)any()) != 0) return;
	running++; /* they are counted as long as their process lives */
	pthread_detach(thread);
	ADD(threads);
}

static void on_signal(int number)
{
	(void)number;
}

static void step(void)
{
	struct peer *peer = any_peer();
	if (peer->fd < 0) return open_peer(peer);
	unsigned what = below(1000);
	if (what < 800) return say_something(peer);
	if (what < 830) return say_nonsense(peer);
	if (what < 870) return wait_a_little(peer);
	if (what < 890) return map(peer);
	if (what < 905) return close_peer(peer);
	if (what < 925) return pass(peer->fd);
	if (what < 945) return take(peer);
	if (what < 965) return use_otherwise(peer);
	if (what < 975) return (void)(dup2(peer->fd, any_peer()->fd) < 0 || fcntl(peer->fd, F_SETFD, FD_CLOEXEC));
	if (what < 985) return fork_one();
	if (what < 988) return start_one();
	if (what < 992) return (void)setitimer(ITIMER_REAL, &(struct itimerval){ .it_value.tv_usec = below(3000) }, NULL);
	if (what < 994) return (void)setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 40 + below(400), 1000 });
	if (what < 996) return (void)kill(getpid(), SIGUSR1);
	close_range(PEERS + 60, ~0U, 0);
}

static void *work_a_little(void *first)
{
	seed((uintptr_t)first, 3);
	prepare_thread();
	for (unsigned steps = below(3000); steps > 0; steps--) step();
	munmap(arena, ARENA + 4 * 4096);
	return NULL;
}

static _Noreturn void work(__u64 first)
{
	signal(SIGALRM, on_signal);
	signal(SIGUSR1, on_signal);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	signal(SIGBUS, SIG_DFL);
	seed(first, 1);
	prepare_thread();
	for (int i = 0; i < PEERS; i++) peers[i].fd = -1;
	for (;;) step();
}

/* After an execve(): with the descriptors that it left. */
static _Noreturn void work_again(__u64 first)
{
	int n = 0;
	counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	exchange[0] = exchange[1] = -1;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prepare_thread();
	seed(first, 5);
	for (int i = 0; i < PEERS; i++) peers[i].fd = -1;
	for (int fd = 3; fd < 60 && n < PEERS; fd++) {
		struct bus1_cmd_peer_reset answer;
		if (query(fd, &answer) == 0) peers[n++].fd = fd;
	}
	for (int i = 0; i < 200; i++) step();
	_exit(0);
}

/* A worker is of one of several users; some have namespaces of their own, and memory that comes late. */
static _Noreturn void become_worker(__u64 first, const int *keepers)
{
	uid_t uid = 1000 + first % USERS;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i < USERS; i++) close(keepers[i]);
	if (first % 4 == 0) {
		files_of(uid, ",allow_other");
		slow_memory = own_memory("slow", FILE_SIZE);
		own->read = 3;
	}
	CHECK(setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0);
	prctl(PR_SET_DUMPABLE, 1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (first % 4 == 1 && unshare(CLONE_NEWUSER | CLONE_NEWPID) == 0) {
		pid_t child = fork();
		if (child > 0) {
			while (waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
			_exit(0);
		}
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	}
	work(first);
}

/* Everything that descends from this process ends, however it came to be. */
static void end_all(void)
{
	char path[64], text[4096];
	snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
	for (;;) {
		int file = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t length = read(file, text, sizeof text - 1);
		close(file);
		if (length <= 0) break;
		text[length] = 0;
		for (char *at = strtok(text, " "); at; at = strtok(NULL, " ")) kill(atoi(at), SIGKILL);
		while (waitpid(-1, NULL, WNOHANG) > 0) continue;
		usleep(1000);
	}
}

/* A user whose other peers are all gone may use all of its quotas again; `peer` keeps them from being forgotten. */
static void expect_unused_quotas(int peer)
{
	static __u64 ids[1 << 16];
	static char payload[1 << 24];
	struct bus1_cmd_peer_reset limits;
	struct bus1_cmd_recv recv;
	__u64 own = 8;
	unsigned n = 0;
	int files[BUS1_FD_MAX], r;
	CHECK(query(peer, &limits) == 0);
	unsigned n_files = limits.max_inflight_fds < 200 ? limits.max_inflight_fds : 200;
	for (unsigned i = 0; i < limits.max_handles; i++) ids[i] = (i + 1) * 8;
	r = destroy(peer, BUS1_NODES_DESTROY_FLAG_RELEASE_HANDLES, ids, limits.max_handles);
	if (r) wrong("handles are in use", r);
	struct iovec vec = { payload, limits.max_inflight_bytes / 8 * 8 };
	struct bus1_cmd_send send = { .ptr_destinations = (uintptr_t)&own, .n_destinations = 1, .ptr_vecs = (uintptr_t)&vec, .n_vecs = 1 };
	if ((r = command(peer, BUS1_CMD_SEND, &send))) wrong("bytes are in flight", r);
	if (r == 0 && recv_message(peer, &recv) == 0) slice_release(peer, recv.msg.offset);
	for (unsigned i = 0; i < n_files; i++) files[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	send = (struct bus1_cmd_send){ .ptr_destinations = (uintptr_t)&own, .n_destinations = 1, .ptr_fds = (uintptr_t)files, .n_fds = n_files };
	if ((r = command(peer, BUS1_CMD_SEND, &send))) wrong("descriptors are in flight", r);
	if (r == 0 && recv_message(peer, &recv) == 0) slice_release(peer, recv.msg.offset);
	while ((r = send_text(peer, own, "")) == 0) n++;
	if (n != limits.max_slices || r != -EDQUOT) wrong("slices are in use", n);
	for (unsigned i = 0; i < n_files; i++) close(files[i]);
}

int main(int argc, char **argv)
{
	CHECK(argc >= 4);
	arguments = argv;
	device = argv[1];
	__u64 first = strtoull(argv[2], NULL, 10), n = 0;
	if (!strcmp(argv[3], "again")) work_again(first);
	CHECK(argc == 5);
	int n_workers = atoi(argv[4]);
	pid_t workers[64];
	CHECK(n_workers > 0 && n_workers <= 64);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(counts != MAP_FAILED && socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, exchange) == 0);
	int keepers[USERS];
	for (int i = 0; i < USERS; i++) {
		setfsuid(1000 + i);
		keepers[i] = peer_open();
		setfsuid(0);
	}
	seed(first, 0);
	for (int i = 0; i < n_workers; i++)
		if ((workers[i] = fork()) == 0) become_worker(first * 1000 + n + i, keepers);
	n = n_workers;
	for (long long end = own_clock() + atoi(argv[3]); own_clock() < end;) {
		usleep(5000);
		for (pid_t ended; (ended = waitpid(-1, NULL, WNOHANG)) > 0;) {
			for (int i = 0; i < n_workers; i++) {
				if (ended != workers[i]) continue;
				if ((workers[i] = fork()) == 0) become_worker(first * 1000 + n, keepers);
				n++;
			}
		}
		pid_t victim = workers[below(n_workers)];
		if (n_workers == 1) continue;
		if (one_in(40)) kill(victim, SIGKILL), counts->kills++;
		if (one_in(10)) kill(victim, SIGSTOP), counts->stops++, usleep(below(20000)), kill(victim, SIGCONT);
		counts->processes = counts->processes > 0 ? counts->processes - 1 : 0;
	}
	end_all();
	close(exchange[0]);
	close(exchange[1]);
	for (int i = 0; i < USERS; i++) expect_unused_quotas(keepers[i]);
	printf("%ld calls, %ld succeeded; %ld peers opened, %ld descriptors installed, %ld times slow memory; %ld threads, %llu workers, %ld killed, %ld stopped\n",
	       counts->calls, counts->succeeded, counts->opened, counts->descriptors, counts->suspendable, counts->threads, n,
	       counts->kills, counts->stops);
	for (int i = 0; i < 200; i++)
		if (counts->errnos[i]) printf("%s %ld  ", strerrorname_np(i), counts->errnos[i]);
	printf("\n");
	return counts->wrong ? 1 : 0;
}
