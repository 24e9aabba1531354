/* A master in C on a pty, for bench.plc: what the kernel alone takes on the way of a frame.
 *
 *   floor PORT COUNT GAP_NS AWAKE_NS PRIORITY
 *
 * COUNT transactions, reads of 12 registers and writes of 5 in turns, each GAP_NS after the last
 * reply; slept until AWAKE_NS before that, then awake. When each reply was read, monotonic s, a
 * line each. PRIORITY among SCHED_FIFO, 0 = as it is.
 *
 * gcc -O2 floor.c -o floor
 */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define READ_SIZE (3 + 24 + 2)
#define WRITE_SIZE (2 + 4 + 2)

static long long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

static int sealed(unsigned char *frame, int size) {
    unsigned crc = 0xFFFF;
    for (int i = 0; i < size; i++) {
        crc ^= frame[i];
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xA001 : crc >> 1;
    }
    frame[size] = crc & 0xFF;
    frame[size + 1] = crc >> 8;
    return size + 2;
}

static void wait_until(long long due_ns, long long awake_ns) {
    long long until_ns = due_ns - awake_ns;
    struct timespec until = {until_ns / SECOND, until_ns % SECOND};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    while (now_ns() < due_ns) {
    }
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    int line = open(argv[1], O_RDWR | O_NOCTTY | O_NONBLOCK), count = atoi(argv[2]);
    long long gap_ns = atoll(argv[3]), awake_ns = atoll(argv[4]), heard_ns = now_ns();
    struct sched_param asked = {atoi(argv[5])};
    if (line < 0) return 1;
    if (asked.sched_priority && sched_setscheduler(0, SCHED_FIFO, &asked)) return 1;
    prctl(PR_SET_TIMERSLACK, 1);
    unsigned char frames[2][32] = {{1, 3, 0, 0, 0, 12}, {1, 16, 0, 105, 0, 5, 10, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5}};
    int sizes[2] = {sealed(frames[0], 6), sealed(frames[1], 17)}, due[2] = {READ_SIZE, WRITE_SIZE};
    double *told = calloc(count, sizeof *told);
    for (int i = 0; i < count; i++) {
        unsigned char heard[512];
        wait_until(heard_ns + gap_ns, awake_ns);
        if (write(line, frames[i % 2], sizes[i % 2]) != sizes[i % 2]) return 1;
        for (int size = 0; size < due[i % 2];) {
            struct pollfd wanted = {line, POLLIN, 0};
            if (poll(&wanted, 1, 2000) != 1) return 1;
            ssize_t more = read(line, heard, sizeof heard);
            if (more <= 0) return 1;
            size += more;
        }
        heard_ns = now_ns();
        told[i] = heard_ns / 1e9;
    }
    for (int i = 0; i < count; i++) printf("%.9f\n", told[i]);
    return 0;
}
