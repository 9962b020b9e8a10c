/* What a guest tries to get out with: one attempt a line of standard input, one answer a line of output.
 *
 * tcp ADDRESS PORT [TEXT]       a connection, a text, what comes back
 * hello ADDRESS PORT NAME       the same with the beginning of TLS for a name
 * udp ADDRESS PORT TEXT         a datagram, what comes back
 * dns ADDRESS udp|tcp NAME TYPE a question: rcode, and the addresses
 * echo ADDRESS                  a ping
 * frame HEX                     a frame as it is
 * flood ADDRESS PORT COUNT      so many connections at a time; how many are answered
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 3000, SILENCE_MS = 700 };
typedef unsigned char byte;
static byte bytes[70000];

static socklen_t place(const char *address, int port, struct sockaddr_storage *to) {
    memset(to, 0, sizeof *to);
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)to;
    struct sockaddr_in *four = (struct sockaddr_in *)to;
    if (inet_pton(AF_INET6, address, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        return sizeof *six;
    }
    memset(to, 0, sizeof *to);
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    return inet_pton(AF_INET, address, &four->sin_addr) == 1 ? sizeof *four : 0;
}

static const char *why(int error) {
    switch (error) {
    case ECONNREFUSED: return "refused";
    case ECONNRESET: return "reset";
    case EHOSTUNREACH: case ENETUNREACH: return "unreachable";
    case EACCES: case EPERM: return "prohibited";
    case ETIMEDOUT: case EAGAIN: return "silent";
    default: return strerror(error);
    }
}

/* Returns a connected socket, or none and errno. */
static int reach(const char *address, int port, int kind) {
    struct sockaddr_storage to;
    socklen_t length = place(address, port, &to);
    int fd = socket(to.ss_family, kind | SOCK_NONBLOCK, 0), error = 0;
    socklen_t size = sizeof error;
    if (fd < 0) return -1;
    if (connect(fd, (struct sockaddr *)&to, length) < 0) {
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        error = errno;
        if (error == EINPROGRESS) {
            if (poll(&wait, 1, PATIENCE_MS) == 0) error = ETIMEDOUT;
            else getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
        }
        if (error != 0) {
            close(fd);
            errno = error;
            return -1;
        }
    }
    return fd;
}

/* Waits for bytes; -1 and errno where none come. */
static ssize_t hear(int fd, int patience) {
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    if (poll(&wait, 1, patience) == 0) {
        errno = EAGAIN;
        return -1;
    }
    return read(fd, bytes, sizeof bytes);
}

static void say(ssize_t count) {
    if (count < 0) printf("%s\n", why(errno));
    else if (count == 0) printf("ended\n");
    else printf("answer %.*s\n", (int)count, bytes);
}

static void stream(const char *address, int port, const byte *text, size_t length) {
    int fd = reach(address, port, SOCK_STREAM);
    if (fd < 0) {
        printf("%s\n", why(errno));
        return;
    }
    if (length > 0 && write(fd, text, length) < 0) printf("%s\n", why(errno));
    else say(hear(fd, PATIENCE_MS));
    close(fd);
}

static size_t put16(byte *at, unsigned value) {
    at[0] = value >> 8;
    at[1] = value;
    return 2;
}

static void hello(const char *address, int port, const char *name) {
    byte out[600] = {22, 3, 1};
    size_t named = strlen(name), at = 5;
    out[at] = 1;
    at += 4;
    at += put16(out + at, 0x0303);
    memset(out + at, 7, 32);
    at += 32;
    out[at++] = 0;
    at += put16(out + at, 2);
    at += put16(out + at, 0x1301);
    out[at++] = 1;
    out[at++] = 0;
    at += put16(out + at, named + 9);
    at += put16(out + at, 0);
    at += put16(out + at, named + 5);
    at += put16(out + at, named + 3);
    out[at++] = 0;
    at += put16(out + at, named);
    memcpy(out + at, name, named);
    at += named;
    put16(out + 3, at - 5);
    put16(out + 7, at - 9);
    stream(address, port, out, at);
}

static void datagram(const char *address, int port, const char *text) {
    int fd = reach(address, port, SOCK_DGRAM);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) printf("%s\n", why(errno));
    else say(hear(fd, SILENCE_MS));
    close(fd);
}

static size_t skip_name(size_t at) {
    while (bytes[at] != 0) {
        if (bytes[at] >= 0xc0) return at + 2;
        at += bytes[at] + 1;
    }
    return at + 1;
}

static void question(const char *address, int by_stream, const char *name, int type) {
    byte out[600] = {0, 0, 0x12, 0x34, 1, 0, 0, 1};
    size_t at = 14;
    for (const char *label = name; *label != 0;) {
        size_t length = strcspn(label, ".");
        out[at++] = length;
        memcpy(out + at, label, length);
        at += length;
        label += length + (label[length] == '.');
    }
    out[at++] = 0;
    at += put16(out + at, type);
    at += put16(out + at, 1);
    put16(out, at - 2);
    int fd = reach(address, 53, by_stream ? SOCK_STREAM : SOCK_DGRAM);
    size_t from = by_stream ? 0 : 2;
    if (fd < 0 || write(fd, out + from, at - from) < 0) {
        printf("%s\n", why(errno));
        close(fd);
        return;
    }
    ssize_t count = hear(fd, PATIENCE_MS);
    close(fd);
    if (count > 0 && by_stream) memmove(bytes, bytes + 2, count -= 2);
    if (count < 12) {
        printf("%s\n", count < 0 ? why(errno) : "ended");
        return;
    }
    printf("rcode %d", bytes[3] & 15);
    int answers = bytes[6] << 8 | bytes[7];
    at = skip_name(12) + 4;
    for (; answers > 0 && at < (size_t)count; answers--) {
        at = skip_name(at);
        int kind = bytes[at] << 8 | bytes[at + 1], length = bytes[at + 8] << 8 | bytes[at + 9];
        char text[64];
        if (kind == 1 && inet_ntop(AF_INET, bytes + at + 10, text, sizeof text)) printf(" %s", text);
        if (kind == 28 && inet_ntop(AF_INET6, bytes + at + 10, text, sizeof text)) printf(" %s", text);
        at += 10 + length;
    }
    printf("\n");
}

static void ping(const char *address) {
    int six = strchr(address, ':') != NULL;
    struct sockaddr_storage to;
    socklen_t length = place(address, 0, &to);
    int fd = socket(to.ss_family, SOCK_RAW, six ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
    /* The sum of these four words is 0xffff, so that of ICMP is right; the kernel makes that of ICMPv6. */
    byte out[8] = {six ? 128 : 8, 0, 0, 0, 0, 1, 0, 1};
    put16(out + 2, six ? 0 : 0xffff - 0x0800 - 2);
    if (fd < 0 || sendto(fd, out, sizeof out, 0, (struct sockaddr *)&to, length) < 0) {
        printf("%s\n", why(errno));
        close(fd);
        return;
    }
    const char *said = "silent";
    for (ssize_t count; (count = hear(fd, SILENCE_MS)) > 0;) {
        byte kind = six ? bytes[0] : bytes[20];
        if (kind == (six ? 129 : 0)) said = "answer";
        if (kind == (six ? 1 : 3)) said = "prohibited";
        if (said[0] != 's') break;
    }
    printf("%s\n", said);
    close(fd);
}

static void frame(const char *hex) {
    size_t count = strlen(hex) / 2;
    for (size_t at = 0; at < count; at++) {
        char pair[3] = {hex[2 * at], hex[2 * at + 1], 0};
        bytes[at] = strtol(pair, NULL, 16);
    }
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex("eth0")};
    int fd = socket(AF_PACKET, SOCK_RAW, htons(3));
    ssize_t sent = sendto(fd, bytes, count, 0, (struct sockaddr *)&to, sizeof to);
    printf("%s\n", sent < 0 ? why(errno) : "sent");
    close(fd);
}

static void flood(const char *address, int port, int count) {
    struct sockaddr_storage to;
    socklen_t length = place(address, port, &to);
    int *fds = calloc(count, sizeof *fds), answered = 0;
    for (int at = 0; at < count; at++) {
        fds[at] = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fds[at], (struct sockaddr *)&to, length);
    }
    usleep(PATIENCE_MS * 1000);
    for (int at = 0; at < count; at++) {
        struct sockaddr_storage peer;
        socklen_t size = sizeof peer;
        answered += getpeername(fds[at], (struct sockaddr *)&peer, &size) == 0;
        close(fds[at]);
    }
    printf("%d answered\n", answered);
    free(fds);
}

int main(void) {
    static char line[140000];
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof line, stdin) != NULL) {
        char *word[6] = {NULL}, *rest = line;
        for (int at = 0; at < 6 && (word[at] = strtok(rest, " \n")) != NULL; at++) rest = NULL;
        if (word[1] == NULL) continue;
        int number = word[2] != NULL ? atoi(word[2]) : 0;
        if (strcmp(word[0], "tcp") == 0)
            stream(word[1], number, (byte *)word[3], word[3] ? strlen(word[3]) : 0);
        else if (strcmp(word[0], "hello") == 0) hello(word[1], number, word[3]);
        else if (strcmp(word[0], "udp") == 0) datagram(word[1], number, word[3]);
        else if (strcmp(word[0], "dns") == 0) question(word[1], word[2][0] == 't', word[3], atoi(word[4]));
        else if (strcmp(word[0], "echo") == 0) ping(word[1]);
        else if (strcmp(word[0], "frame") == 0) frame(word[1]);
        else if (strcmp(word[0], "flood") == 0) flood(word[1], number, atoi(word[3]));
        else printf("what is %s\n", word[0]);
    }
    return 0;
}
