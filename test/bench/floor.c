/*
 * The floor: the least a FUSE server can do. One file whose ioctls are echoed; everything else as small as the kernel
 * lets it be. Its ioctl round trip is what a server in any language has to add its own work to.
 *
 *   floor DIRECTORY        serves DIRECTORY/floor until it is unmounted
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int fuse;

static void reply(const struct fuse_in_header *in, int error, const void *body, size_t size)
{
	struct fuse_out_header out = { .len = sizeof out + size, .error = error, .unique = in->unique };
	struct iovec parts[] = { { &out, sizeof out }, { (void *)body, size } };
	if (writev(fuse, parts, 2) < 0 && errno != ENOENT) perror("floor: reply");
}

static struct fuse_attr attributes(uint64_t node)
{
	struct fuse_attr attr = { .ino = node, .nlink = 1, .mode = node == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0666 };
	return attr;
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
		struct fuse_entry_out out = { .nodeid = 2, .entry_valid = 1000, .attr_valid = 1000, .attr = attributes(2) };
		reply(in, strcmp(body, "floor") ? -ENOENT : 0, &out, strcmp(body, "floor") ? 0 : sizeof out);
		return;
	}
	case FUSE_GETATTR: {
		struct fuse_attr_out out = { .attr_valid = 1000, .attr = attributes(in->nodeid) };
		reply(in, 0, &out, sizeof out);
		return;
	}
	case FUSE_OPEN: {
		struct fuse_open_out out = { .open_flags = FOPEN_DIRECT_IO };
		reply(in, 0, &out, sizeof out);
		return;
	}
	case FUSE_IOCTL: {
		struct fuse_ioctl_in *ioctl = (void *)body;
		struct { struct fuse_ioctl_out head; char data[256]; } out = { .data = "" };
		memcpy(out.data, ioctl + 1, ioctl->in_size);
		reply(in, 0, &out, sizeof out.head + ioctl->out_size);
		return;
	}
	case FUSE_RELEASE:
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
