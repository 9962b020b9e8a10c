/* The guest's end of the bench NET: calls the host again and again and does what it is told.
 *
 * As a command: net HOST PORT [TO PORT]; net PORT waits for calls instead. As the first process of a bare
 * machine: the kernel's command line says net=ADDRESS,HOST,PORT[,TO,PORT] or net=ADDRESS,PORT, and the
 * device is given the address first.
 *
 * The other end says one letter and eight digits: s sends so many KiB, r takes so many and says so, p sends
 * back so many single bytes, g has TO take so many KiB and says so, q ends.
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <unistd.h>

static char block[256 << 10];
static char to_host[32];
static int to_port;
static int was_ended;

static void set_up(const char *address) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq request;
    struct sockaddr_in *at = (struct sockaddr_in *)&request.ifr_addr;
    memset(&request, 0, sizeof request);
    strcpy(request.ifr_name, "eth0");
    at->sin_family = AF_INET;
    inet_pton(AF_INET, address, &at->sin_addr);
    ioctl(fd, SIOCSIFADDR, &request);
    inet_pton(AF_INET, "255.255.255.0", &at->sin_addr);
    ioctl(fd, SIOCSIFNETMASK, &request);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    ioctl(fd, SIOCSIFFLAGS, &request);
    close(fd);
}

static int call(const char *host, int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, host, &to.sin_addr);
    for (int turn = 0; turn < 100; turn++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return fd;
        close(fd);
        usleep(100000);
    }
    return -1;
}

static int all(int fd, char *bytes, size_t count) {
    for (size_t done = 0; done < count;) {
        ssize_t got = read(fd, bytes + done, count - done);
        if (got <= 0) return -1;
        done += got;
    }
    return 0;
}

static int send_out(int fd, long left) {
    while (left > 0) {
        ssize_t done = write(fd, block, left < (long)sizeof block ? left : (long)sizeof block);
        if (done <= 0) return -1;
        left -= done;
    }
    return 0;
}

/* Has the other guest take so many KiB; tells whether it did. */
static int give(long count) {
    char order[16];
    int fd = call(to_host, to_port);
    snprintf(order, sizeof order, "r%08ld", count);
    int done = fd >= 0 && write(fd, order, 9) == 9 && send_out(fd, count << 10) == 0 && all(fd, order, 1) == 0;
    close(fd);
    return done;
}

/* Does one thing; tells whether there may be another. */
static int serve(int fd) {
    char order[10] = {0};
    if (fd < 0 || all(fd, order, 9) < 0) return 0;
    long count = atol(order + 1);
    long left = count << 10;
    switch (order[0]) {
    case 's':
        if (send_out(fd, left) < 0) return 0;
        break;
    case 'g':
        if (!give(count) || write(fd, "d", 1) != 1) return 0;
        break;
    case 'r':
        while (left > 0) {
            ssize_t done = read(fd, block, sizeof block);
            if (done <= 0) return 0;
            left -= done;
        }
        if (write(fd, "d", 1) != 1) return 0;
        break;
    case 'p':
        for (; count > 0; count--)
            if (all(fd, block, 1) < 0 || write(fd, block, 1) != 1) return 0;
        break;
    default:
        was_ended = 1;
        return 0;
    }
    shutdown(fd, SHUT_WR);
    /* The host ends last, so that the port is not kept for a minute. */
    while (read(fd, block, 1) > 0) {}
    return 1;
}

static int answer(int port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 8) < 0) return 1;
    /* Whoever calls and says nothing is no end. */
    while (!was_ended) {
        int fd = accept(listener, NULL, NULL);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        serve(fd);
        close(fd);
    }
    return 0;
}

static int work(const char *host, int port) {
    for (int goes_on = 1; goes_on;) {
        int fd = call(host, port);
        goes_on = serve(fd);
        close(fd);
    }
    return 0;
}

int main(int argc, char **argv) {
    char address[32], host[32] = "";
    int port = 0;
    if (getpid() == 1) {
        const char *told = getenv("net");
        if (told == NULL) return 64;
        if (sscanf(told, "%31[^,],%31[^,],%d,%31[^,],%d", address, host, &port, to_host, &to_port) < 3) {
            host[0] = 0;
            if (sscanf(told, "%31[^,],%d", address, &port) != 2) return 64;
        }
        set_up(address);
        if (host[0]) work(host, port);
        else answer(port);
        reboot(RB_AUTOBOOT);
    }
    if (argc == 2) return answer(atoi(argv[1]));
    if (argc == 5) {
        snprintf(to_host, sizeof to_host, "%s", argv[3]);
        to_port = atoi(argv[4]);
    } else if (argc != 3) {
        return 64;
    }
    return work(argv[1], atoi(argv[2]));
}
