/*
 * A program of root's that anybody may run, to be linked with ".zeros" at an address of its own: nothing must ever be written
 * there.
 */
#include <stdio.h>
#include <unistd.h>

static volatile unsigned char zeros[1 << 20] __attribute__((section(".zeros,\"aw\",@nobits#")));

int main(void)
{
	for (int round = 0; round < 60; round++) {
		for (size_t i = 0; i < sizeof zeros; i++) {
			if (zeros[i] == 0) continue;
			printf("written to a process of uid %d, run by uid %d, at byte %#zx\n", geteuid(), getuid(), i);
			return 1;
		}
		usleep(1000);
	}
	return 0;
}
