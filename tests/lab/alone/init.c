/* The least that carries out a command in a root: mounts it, enters it, becomes the command. */
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void) {
    char *command[] = {"/bin/echo", "up", 0};
    mkdir("/dev", 0755);
    mkdir("/root", 0755);
    mount("dev", "/dev", "devtmpfs", 0, 0);
    int console = open("/dev/hvc0", O_RDWR);
    if (console < 0 || dup2(console, 0) < 0 || dup2(console, 1) < 0 || dup2(console, 2) < 0) return 1;
    if (mount("/dev/vda", "/root", "erofs", MS_RDONLY, 0) || chroot("/root") || chdir("/")) return 1;
    execv(command[0], command);
    return 1;
}
