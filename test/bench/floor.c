/*
 * The floor: the least a FUSE server can do. One file whose ioctls are echoed; everything else as small as the kernel
 * lets it be. Its ioctl round trip is what a server in any language has to add its own work to.
 *
 * And a mailbox: those who have it open can SEND, poll and RECV, by the numbers of linux/bus1.h; no message has a content. To one
 * destination is from the first to open it to the second and back, to more is from the first to the next ones. That is the
 * least a bus1 over FUSE can do.
 *
 *   floor DIRECTORY        serves DIRECTORY/floor and DIRECTORY/mailbox until it is unmounted
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bus1.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	FLOOR = FUSE_ROOT_ID + 1,
	MAILBOX,
	MAX_OPENS = 1 << 16,
	PAGES = 1 << 16,
};

static int fuse;
/* The first one's file handle is even. */
static uint64_t last_open = 1;
static int n_open;

static struct box {
	int pending, is_awaited;
	uint64_t kh;
} boxes[MAX_OPENS];

static void reply(const struct fuse_in_header *in, int error, const void *body, size_t size)
{
	struct fuse_out_header out = { .len = sizeof out + size, .error = error, .unique = in->unique };
	struct iovec parts[] = { { &out, sizeof out }, { (void *)body, size } };
	if (writev(fuse, parts, 2) < 0 && errno != ENOENT) perror("floor: reply");
}

static struct fuse_attr attributes(uint64_t node)
{
	struct fuse_attr attr = { .ino = node, .nlink = 1, .mode = node == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0666 };
	if (node == MAILBOX) attr.size = 512 << 20;
	return attr;
}

static void wake(struct box *box)
{
	struct {
		struct fuse_out_header head;
		struct fuse_notify_poll_wakeup_out body;
	} out = {
		{ .len = sizeof out, .error = FUSE_NOTIFY_POLL },
		{ .kh = box->kh },
	};
	if (!box->is_awaited) return;
	box->is_awaited = 0;
	if (write(fuse, &out, sizeof out) < 0) perror("floor: notify");
}

static void serve(char *request)
{
	struct fuse_in_header *in = (void *)request;
	char *body = request + sizeof *in;
	switch (in->opcode) {
	case FUSE_INIT: {
		struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = 4096 };
		reply(in, 0, &out, sizeof out);
		return;
	}
	case FUSE_LOOKUP: {
		uint64_t node = strcmp(body, "floor") ? MAILBOX : FLOOR;
		struct fuse_entry_out out = { .nodeid = node, .entry_valid = 1000, .attr_valid = 1000, .attr = attributes(node) };
		if (strcmp(body, "floor") && strcmp(body, "mailbox")) reply(in, -ENOENT, NULL, 0);
		else reply(in, 0, &out, sizeof out);
		return;
	}
	case FUSE_GETATTR: {
		struct fuse_attr_out out = { .attr_valid = 1000, .attr = attributes(in->nodeid) };
		reply(in, 0, &out, sizeof out);
		return;
	}
	case FUSE_OPEN: {
		struct fuse_open_out out = { .open_flags = in->nodeid == FLOOR ? FOPEN_DIRECT_IO : FOPEN_KEEP_CACHE };
		if (in->nodeid == MAILBOX) {
			if (n_open++ == 0) last_open = 1;
			out.fh = ++last_open % MAX_OPENS;
		}
		boxes[out.fh] = (struct box){ 0 };
		reply(in, 0, &out, sizeof out);
		return;
	}
	case FUSE_READ: {
		static const char zeros[PAGES];
		reply(in, 0, zeros, ((struct fuse_read_in *)body)->size % (PAGES + 1));
		return;
	}
	case FUSE_POLL: {
		struct fuse_poll_in *poll = (void *)body;
		struct box *box = &boxes[poll->fh];
		struct fuse_poll_out out = { .revents = POLLOUT | POLLWRNORM | (box->pending ? POLLIN | POLLRDNORM : 0) };
		if (poll->flags & FUSE_POLL_SCHEDULE_NOTIFY) *box = (struct box){ box->pending, 1, poll->kh };
		reply(in, 0, &out, sizeof out);
		return;
	}
	case FUSE_IOCTL: {
		struct fuse_ioctl_in *ioctl = (void *)body;
		struct {
			struct fuse_ioctl_out head;
			char data[256];
		} out = { .data = "" };
		memcpy(out.data, ioctl + 1, ioctl->in_size);
		if (in->nodeid == MAILBOX && ioctl->cmd == BUS1_CMD_RECV) {
			if (boxes[ioctl->fh].pending == 0) return reply(in, -EAGAIN, NULL, 0);
			boxes[ioctl->fh].pending--;
			memset(out.data, 0, sizeof out.data);
		} else if (in->nodeid == MAILBOX && ioctl->cmd == BUS1_CMD_SEND) {
			uint64_t n = ((struct bus1_cmd_send *)(ioctl + 1))->n_destinations;
			for (uint64_t i = 1; i <= n && ioctl->fh + i < MAX_OPENS; i++) {
				struct box *box = &boxes[n == 1 ? ioctl->fh ^ 1 : ioctl->fh + i];
				box->pending++;
				wake(box);
			}
		}
		reply(in, 0, &out, sizeof out.head + ioctl->out_size);
		return;
	}
	case FUSE_RELEASE:
		if (in->nodeid == MAILBOX) n_open--;
		reply(in, 0, NULL, 0);
		return;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return;
	default:
		reply(in, -ENOSYS, NULL, 0);
	}
}

int main(int argc, char **argv)
{
	static char request[1 << 16];
	char options[128];
	if (argc != 2) return 2;
	fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof options, "fd=%d,rootmode=40755,user_id=0,group_id=0,allow_other", fuse);
	if (fuse < 0 || mount("floor", argv[1], "fuse.floor", MS_NOSUID | MS_NODEV, options) < 0) {
		perror("floor");
		return 1;
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		if (read(fuse, request, sizeof request) > 0) serve(request);
		else if (errno == ENODEV) return 0;
		else if (errno != EINTR && errno != ENOENT) return perror("floor: read"), 1;
	}
}
