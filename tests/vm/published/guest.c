/* A server in a guest: `published PORT`. The first byte of a connection says what it wants.
 *
 * s and eight digits: so many KiB, then the end.   r: takes words until the end, and says how many were right.
 * e: gives back what comes, until the end.         h: the end at once; then how much came says r's answer.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 1100, WORDS = 8192 };
static unsigned long long block[WORDS];
static struct pollfd all[MOST];
static char wants[MOST];

static unsigned long long word(unsigned long long at) { return at * 0x9e3779b97f4a7c15ULL; }

static void give(int fd) {
    char digits[9] = {0};
    for (int at = 0; at < 8;) {
        ssize_t count = read(fd, digits + at, 8 - at);
        if (count <= 0) return;
        at += count;
    }
    unsigned long long at = 0, words = atoll(digits) * 128;
    while (at < words) {
        size_t count = words - at < WORDS ? words - at : WORDS;
        for (size_t n = 0; n < count; n++) block[n] = word(at + n);
        for (size_t done = 0; done < count * 8;) {
            ssize_t went = write(fd, (char *)block + done, count * 8 - done);
            if (went <= 0) return;
            done += went;
        }
        at += count;
    }
}

static void take(int fd) {
    unsigned long long at = 0, right = 0;
    size_t held = 0;
    for (ssize_t count; (count = read(fd, (char *)block + held, sizeof block - held)) > 0;) {
        held += count;
        size_t words = held / 8;
        for (size_t n = 0; n < words; n++) right += block[n] == word(at + n);
        at += words;
        memmove(block, block + words, held %= 8);
    }
    char said[64];
    int length = snprintf(said, sizeof said, "%llu of %llu\n", right, at);
    if (write(fd, said, length) != length) return;
}

static void apart(int fd, void (*work)(int)) {
    if (fork() == 0) {
        work(fd);
        _exit(0);
    }
    close(fd);
}

/* Hears a connection; tells whether it goes on here. */
static int hear(int at) {
    static char bytes[16384];
    int fd = all[at].fd;
    if (wants[at] == 0) {
        char want;
        if (read(fd, &want, 1) == 1) {
            if (want == 's' || want == 'r') {
                apart(fd, want == 's' ? give : take);
                return 0;
            }
            if (want == 'h') shutdown(fd, SHUT_WR);
            wants[at] = want;
            return 1;
        }
    } else {
        ssize_t count = read(fd, bytes, sizeof bytes);
        if (count > 0 && (wants[at] == 'h' || write(fd, bytes, count) == count)) return 1;
    }
    close(fd);
    return 0;
}

int main(int argc, char **argv) {
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 0)};
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1, count = 1;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&place, sizeof place) < 0 || listen(listener, 1024) < 0) return 1;
    all[0] = (struct pollfd){.fd = listener, .events = POLLIN};
    for (;;) {
        poll(all, count, -1);
        for (int at = count - 1; at > 0; at--) {
            if (all[at].revents == 0 || hear(at)) continue;
            count--;
            all[at] = all[count];
            wants[at] = wants[count];
        }
        if (all[0].revents != 0 && count < MOST) {
            int fd = accept(listener, NULL, NULL);
            if (fd < 0) continue;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            all[count] = (struct pollfd){.fd = fd, .events = POLLIN};
            wants[count++] = 0;
        }
    }
}
