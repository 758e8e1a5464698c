/*
 * kdbus on a real mount: one case after the other, each on a bus of its own.
 *
 *   kdbus --list         prints the names of its cases
 *   kdbus DIR CASE       runs one; silent success, or a line that says what was wrong where
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/kdbus.h>

#define POOL (1UL << 20)
#define ALIGN8(n) (((n) + 7) & ~7ULL)
#define SECOND 1000000000ULL

static const char *root;
static char bus_name[64];

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			printf("%s:%d: %s (errno %s)\n", __FILE__, __LINE__, #condition, strerrorname_np(errno)); \
			exit(1); \
		} \
	} while (0)

#define EXPECT(actual, expected) expect(__LINE__, #actual, (long long)(actual), (long long)(expected))

static void expect(int line, const char *what, long long actual, long long expected)
{
	if (actual == expected) return;
	printf("%s:%d: %s is %lld, not %lld\n", __FILE__, line, what, actual, expected);
	exit(1);
}

static int command(int fd, unsigned long number, void *argument)
{
	return ioctl(fd, number, argument) < 0 ? -errno : 0;
}

/* A connection, and its pool. */
struct connection {
	int fd;
	__u64 id;
	const char *pool;
};

/* Items are appended to a structure by its size field, which each begins with. */
static void *append(void *to, __u64 type, const void *data, size_t length)
{
	__u64 *size = to;
	struct kdbus_item *item;

	*size = ALIGN8(*size);
	item = (void *)((char *)to + *size);
	item->size = 16 + length;
	item->type = type;
	if (data) memcpy(item->data, data, length);
	*size += item->size;
	return item->data;
}

static int make_bus(void)
{
	char buffer[256] __attribute__((aligned(8))) = { 0 };
	struct kdbus_cmd *cmd = (void *)buffer;
	struct kdbus_bloom_parameter bloom = { .size = 8, .n_hash = 1 };
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/control", root);
	fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	snprintf(bus_name, sizeof(bus_name), "%u-test-%u", geteuid(), getpid());
	cmd->size = sizeof(*cmd);
	cmd->flags = KDBUS_MAKE_ACCESS_WORLD;
	append(cmd, KDBUS_ITEM_MAKE_NAME, bus_name, strlen(bus_name) + 1);
	append(cmd, KDBUS_ITEM_BLOOM_PARAMETER, &bloom, sizeof(bloom));
	EXPECT(command(fd, KDBUS_CMD_BUS_MAKE, cmd), 0);
	return fd;
}

static int open_bus(void)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s/bus", root, bus_name);
	return open(path, O_RDWR | O_CLOEXEC);
}

static struct connection hello(__u64 flags, __u64 attach)
{
	struct connection made = { .fd = open_bus() };
	struct kdbus_cmd_hello cmd = {
		.size = sizeof(cmd),
		.flags = flags,
		.attach_flags_send = _KDBUS_ATTACH_ANY,
		.attach_flags_recv = attach,
		.pool_size = POOL,
	};
	struct kdbus_cmd_free discard = { .size = sizeof(discard) };

	CHECK(made.fd >= 0);
	EXPECT(command(made.fd, KDBUS_CMD_HELLO, &cmd), 0);
	made.id = cmd.id;
	made.pool = mmap(NULL, POOL, PROT_READ, MAP_SHARED, made.fd, 0);
	CHECK(made.pool != MAP_FAILED);
	EXPECT(((const struct kdbus_item *)(made.pool + cmd.offset))->type, KDBUS_ITEM_BLOOM_PARAMETER);
	discard.offset = cmd.offset;
	EXPECT(command(made.fd, KDBUS_CMD_FREE, &discard), 0);
	return made;
}

/* An empty message, with room for items. */
static struct kdbus_msg *message(__u64 to, __u64 cookie)
{
	static char buffers[8][4096] __attribute__((aligned(8)));
	static int next;
	struct kdbus_msg *made = (void *)buffers[next++ % 8];

	memset(made, 0, sizeof(buffers[0]));
	made->size = sizeof(*made);
	made->dst_id = to;
	made->cookie = cookie;
	made->payload_type = KDBUS_PAYLOAD_DBUS;
	return made;
}

static void add_payload(struct kdbus_msg *to, const void *address, size_t size)
{
	struct kdbus_vec vec = { .size = size, .address = (__u64)(unsigned long)address };

	append(to, KDBUS_ITEM_PAYLOAD_VEC, &vec, sizeof(vec));
}

static int send_message(int fd, const struct kdbus_msg *what)
{
	struct kdbus_cmd_send cmd = { .size = sizeof(cmd), .msg_address = (__u64)(unsigned long)what };

	return command(fd, KDBUS_CMD_SEND, &cmd);
}

static int send_text(int fd, __u64 to, const char *text)
{
	struct kdbus_msg *what = message(to, 1);

	add_payload(what, text, strlen(text) + 1);
	return send_message(fd, what);
}

static int receive(const struct connection *from, const struct kdbus_msg **what)
{
	struct kdbus_cmd_recv cmd = { .size = sizeof(cmd) };
	int error = command(from->fd, KDBUS_CMD_RECV, &cmd);

	*what = (const void *)(from->pool + cmd.msg.offset);
	return error;
}

static const struct kdbus_item *item_of(const struct kdbus_msg *what, __u64 type)
{
	for (__u64 at = sizeof(*what); at < what->size;) {
		const struct kdbus_item *item = (const void *)((const char *)what + at);
		if (item->type == type) return item;
		at += ALIGN8(item->size);
	}
	printf("no item of type 0x%llx\n", (unsigned long long)type);
	exit(1);
}

static const char *payload_of(const struct kdbus_msg *what)
{
	return (const char *)what + item_of(what, KDBUS_ITEM_PAYLOAD_OFF)->vec.offset;
}

static short events_of(int fd, int ms)
{
	struct pollfd entry = { .fd = fd, .events = POLLIN };

	poll(&entry, 1, ms);
	return entry.revents;
}

static __u64 now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (__u64)time.tv_sec * SECOND + (__u64)time.tv_nsec;
}

/* --- the cases */

static void a_message_is_received(void)
{
	struct connection a, b;
	const struct kdbus_msg *got;

	make_bus();
	a = hello(0, 0);
	b = hello(0, 0);
	EXPECT(events_of(b.fd, 0), 0);
	EXPECT(receive(&b, &got), -EAGAIN);
	EXPECT(send_text(a.fd, b.id, "hello"), 0);
	EXPECT(events_of(b.fd, 0), POLLIN);
	EXPECT(receive(&b, &got), 0);
	EXPECT(got->src_id, a.id);
	EXPECT(got->dst_id, b.id);
	EXPECT(strcmp(payload_of(got), "hello"), 0);
	EXPECT(receive(&b, &got), -EAGAIN);
	EXPECT(send_text(a.fd, 9999, "nobody"), -ENXIO);
}

static void a_poller_is_woken(void)
{
	struct connection a, b;
	pid_t child;
	int status;

	make_bus();
	a = hello(0, 0);
	b = hello(0, 0);
	child = fork();
	if (child == 0) _exit(events_of(b.fd, -1) == POLLIN ? 0 : 1);
	EXPECT(send_text(a.fd, b.id, "wake"), 0);
	EXPECT(waitpid(child, &status, 0), child);
	EXPECT(status, 0);
}

static void metadata_is_the_senders(void)
{
	struct connection a, b;
	const struct kdbus_msg *got;

	make_bus();
	a = hello(0, 0);
	b = hello(0, _KDBUS_ATTACH_ANY);
	EXPECT(send_text(a.fd, b.id, "who"), 0);
	EXPECT(receive(&b, &got), 0);
	EXPECT(item_of(got, KDBUS_ITEM_PIDS)->pids.pid, getpid());
	EXPECT(item_of(got, KDBUS_ITEM_CREDS)->creds.euid, geteuid());
	EXPECT(item_of(got, KDBUS_ITEM_TIMESTAMP)->timestamp.seqnum > 0, 1);
}

static void files_are_handed_over(void)
{
	struct connection a, b;
	struct kdbus_msg *what;
	const struct kdbus_msg *got;
	struct kdbus_memfd range = { .size = 5 };
	char text[8] = "";
	int ends[2];

	make_bus();
	a = hello(KDBUS_HELLO_ACCEPT_FD, 0);
	b = hello(KDBUS_HELLO_ACCEPT_FD, 0);
	CHECK(pipe(ends) == 0);
	range.fd = memfd_create("payload", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	CHECK(write(range.fd, "12345", 5) == 5);
	what = message(b.id, 1);
	append(what, KDBUS_ITEM_PAYLOAD_MEMFD, &range, sizeof(range));
	append(what, KDBUS_ITEM_FDS, &ends[1], sizeof(int));
	EXPECT(send_message(a.fd, what), -ETXTBSY);
	CHECK(fcntl(range.fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0);
	EXPECT(send_message(a.fd, what), 0);
	close(ends[1]);
	close(range.fd);
	EXPECT(receive(&b, &got), 0);
	CHECK(write(item_of(got, KDBUS_ITEM_FDS)->fds[0], "x", 1) == 1);
	CHECK(read(ends[0], text, 1) == 1);
	CHECK(pread(item_of(got, KDBUS_ITEM_PAYLOAD_MEMFD)->memfd.fd, text, 5, 0) == 5);
	EXPECT(strcmp(text, "12345"), 0);
	EXPECT(fcntl(item_of(got, KDBUS_ITEM_FDS)->fds[0], F_GETFD), FD_CLOEXEC);
}

/* A sync call, made by a thread. */
struct call {
	struct connection from;
	__u64 to;
	__u64 timeout;
	int cancel;
	int result;
	__u64 reply;
};

static void *make_call(void *data)
{
	struct call *call = data;
	struct {
		struct kdbus_cmd_send send;
		char items[64];
	} cmd = { .send = { .size = sizeof(cmd.send), .flags = KDBUS_SEND_SYNC_REPLY } };
	struct kdbus_msg *what = message(call->to, 77);

	what->flags = KDBUS_MSG_EXPECT_REPLY;
	what->timeout_ns = now() + call->timeout;
	add_payload(what, "ask", 4);
	cmd.send.msg_address = (__u64)(unsigned long)what;
	if (call->cancel >= 0) append(&cmd, KDBUS_ITEM_CANCEL_FD, &call->cancel, sizeof(int));
	call->result = command(call->from.fd, KDBUS_CMD_SEND, &cmd);
	call->reply = cmd.send.reply.offset;
	return NULL;
}

static void a_call_waits_for_its_answer(void)
{
	struct call call = { .timeout = 20 * SECOND, .cancel = -1 };
	const struct kdbus_msg *got;
	struct kdbus_msg *answer;
	struct connection b;
	pthread_t thread;

	make_bus();
	call.from = hello(0, 0);
	b = hello(0, 0);
	call.to = b.id;
	CHECK(pthread_create(&thread, NULL, make_call, &call) == 0);
	EXPECT(events_of(b.fd, -1), POLLIN);
	EXPECT(receive(&b, &got), 0);
	EXPECT(got->cookie, 77);
	answer = message(call.from.id, 5);
	answer->cookie_reply = 77;
	add_payload(answer, "told", 5);
	EXPECT(send_message(b.fd, answer), 0);
	CHECK(pthread_join(thread, NULL) == 0);
	EXPECT(call.result, 0);
	got = (const void *)(call.from.pool + call.reply);
	EXPECT(strcmp(payload_of(got), "told"), 0);
	EXPECT(send_message(b.fd, answer), -EBADSLT);
}

static void a_call_ends_without_answer(void)
{
	struct call call = { .timeout = SECOND / 10, .cancel = -1 };
	const struct kdbus_msg *got;
	struct connection b, c;
	pthread_t thread;

	make_bus();
	call.from = hello(0, 0);
	b = hello(0, 0);
	c = hello(0, 0);
	call.to = b.id;
	make_call(&call);
	EXPECT(call.result, -ETIMEDOUT);
	EXPECT(receive(&b, &got), 0);

	call.timeout = 60 * SECOND;
	call.cancel = eventfd(0, EFD_CLOEXEC);
	CHECK(pthread_create(&thread, NULL, make_call, &call) == 0);
	EXPECT(events_of(b.fd, -1), POLLIN);
	EXPECT(eventfd_write(call.cancel, 1), 0);
	CHECK(pthread_join(thread, NULL) == 0);
	EXPECT(call.result, -ECANCELED);

	call.cancel = -1;
	call.to = c.id;
	CHECK(pthread_create(&thread, NULL, make_call, &call) == 0);
	EXPECT(events_of(c.fd, -1), POLLIN);
	close(c.fd);
	CHECK(pthread_join(thread, NULL) == 0);
	EXPECT(call.result, -EPIPE);
}

static void killed_while_it_waits(void)
{
	struct call call = { .timeout = 60 * SECOND, .cancel = -1 };
	struct connection b;
	pid_t child;

	make_bus();
	call.from = hello(0, 0);
	b = hello(0, 0);
	call.to = b.id;
	child = fork();
	if (child == 0) {
		make_call(&call);
		_exit(0);
	}
	EXPECT(events_of(b.fd, -1), POLLIN);
	kill(child, SIGKILL);
	CHECK(waitpid(child, NULL, 0) == child);
	EXPECT(send_text(call.from.fd, b.id, "goes on"), 0);
}

static void everything_ends_with_the_bus(void)
{
	struct kdbus_cmd bye = { .size = sizeof(bye) };
	struct connection a, b;
	int owner = make_bus();
	int unused = open_bus();
	struct kdbus_cmd_hello cmd = { .size = sizeof(cmd), .pool_size = POOL };

	a = hello(0, 0);
	b = hello(0, 0);
	EXPECT(command(b.fd, KDBUS_CMD_BYEBYE, &bye), 0);
	EXPECT(events_of(b.fd, 0), POLLERR | POLLHUP);
	EXPECT(command(b.fd, KDBUS_CMD_BYEBYE, &bye), -ECONNRESET);
	close(owner);
	EXPECT(events_of(a.fd, -1), POLLERR | POLLHUP);
	EXPECT(send_text(a.fd, b.id, "late"), -ECONNRESET);
	EXPECT(command(unused, KDBUS_CMD_HELLO, &cmd), -ESHUTDOWN);
	EXPECT(open_bus(), -1);
	EXPECT(errno, ENOENT);
}

/* A page that comes when it is told to: until then whoever touches it waits. */
struct slow_page {
	int fd;
	char *address;
};

static struct slow_page make_slow_page(void)
{
	struct slow_page page;
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	page.fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	CHECK(page.fd >= 0);
	CHECK(ioctl(page.fd, UFFDIO_API, &api) == 0);
	page.address = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	range.range.start = (__u64)(unsigned long)page.address;
	range.range.len = 4096;
	CHECK(ioctl(page.fd, UFFDIO_REGISTER, &range) == 0);
	return page;
}

static void await_touch(const struct slow_page *page)
{
	struct uffd_msg touch;

	CHECK(read(page->fd, &touch, sizeof(touch)) == sizeof(touch));
	EXPECT(touch.event, UFFD_EVENT_PAGEFAULT);
}

static void bring(const struct slow_page *page, const void *content)
{
	struct uffdio_copy copy = {
		.dst = (__u64)(unsigned long)page->address,
		.src = (__u64)(unsigned long)content,
		.len = 4096,
	};

	CHECK(ioctl(page->fd, UFFDIO_COPY, &copy) == 0);
}

struct slow_send {
	struct connection from;
	__u64 to;
	const char *payload;
	struct kdbus_cmd_recv *recv;
	int result;
};

static void *send_slowly(void *data)
{
	struct slow_send *send = data;
	struct kdbus_msg *what = message(send->to, 1);

	add_payload(what, send->payload, 16);
	send->result = send_message(send->from.fd, what);
	return NULL;
}

static char content[4096] __attribute__((aligned(4096)));

static void slow_payload_is_sent_once(void)
{
	struct slow_page page = make_slow_page();
	struct slow_send slow = { .payload = page.address };
	const struct kdbus_msg *got;
	struct connection b, c;
	pthread_t thread;

	make_bus();
	slow.from = hello(0, 0);
	b = hello(0, 0);
	c = hello(0, 0);
	slow.to = b.id;
	CHECK(pthread_create(&thread, NULL, send_slowly, &slow) == 0);
	await_touch(&page);
	EXPECT(send_text(c.fd, b.id, "overtakes"), 0);
	strcpy(content, "slow");
	bring(&page, content);
	CHECK(pthread_join(thread, NULL) == 0);
	EXPECT(slow.result, 0);
	EXPECT(receive(&b, &got), 0);
	EXPECT(strcmp(payload_of(got), "overtakes"), 0);
	EXPECT(receive(&b, &got), 0);
	EXPECT(strcmp(payload_of(got), "slow"), 0);
	EXPECT(receive(&b, &got), -EAGAIN);
}

static void *receive_slowly(void *data)
{
	struct slow_send *slow = data;

	slow->result = command(slow->from.fd, KDBUS_CMD_RECV, slow->recv);
	return NULL;
}

/* Its structure is on a page that comes late. */
static void slow_result_is_received_once(void)
{
	struct slow_page page = make_slow_page();
	struct slow_send slow = { .recv = (void *)page.address };
	const struct kdbus_msg *got;
	struct connection a;
	pthread_t thread;

	make_bus();
	a = hello(0, 0);
	slow.from = hello(0, 0);
	EXPECT(send_text(a.fd, slow.from.id, "first"), 0);
	EXPECT(send_text(a.fd, slow.from.id, "second"), 0);
	CHECK(pthread_create(&thread, NULL, receive_slowly, &slow) == 0);
	await_touch(&page);
	EXPECT(send_text(a.fd, slow.from.id, "third"), 0);
	memset(content, 0, sizeof(content));
	((struct kdbus_cmd_recv *)content)->size = sizeof(struct kdbus_cmd_recv);
	bring(&page, content);
	CHECK(pthread_join(thread, NULL) == 0);
	EXPECT(slow.result, 0);
	got = (const void *)(slow.from.pool + slow.recv->msg.offset);
	EXPECT(strcmp(payload_of(got), "first"), 0);
	EXPECT(receive(&slow.from, &got), 0);
	EXPECT(strcmp(payload_of(got), "second"), 0);
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
#define CASE(name) \
	{ \
#name, name \
	}
	CASE(a_message_is_received),
	CASE(a_poller_is_woken),
	CASE(metadata_is_the_senders),
	CASE(files_are_handed_over),
	CASE(a_call_waits_for_its_answer),
	CASE(a_call_ends_without_answer),
	CASE(killed_while_it_waits),
	CASE(everything_ends_with_the_bus),
	CASE(slow_payload_is_sent_once),
	CASE(slow_result_is_received_once),
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (argc == 2 && strcmp(argv[1], "--list") == 0) {
			puts(cases[i].name);
		} else if (argc == 3 && strcmp(argv[2], cases[i].name) == 0) {
			root = argv[1];
			cases[i].run();
			return 0;
		}
	}
	return argc == 2 ? 0 : 2;
}
