/* libmodbus at both ends of a pty pair, for bench.plc.
 *
 *   peers relay            two ptys joined, their names on stdout; until stdin closes
 *   peers slave PORT       unit 1 with 200 holding registers; until killed
 *   peers master PORT N    N times FC03 of 12 registers, N times FC16 of 5; nanoseconds on stdout
 *
 * gcc -O2 peers.c -o peers $(pkg-config --cflags --libs libmodbus) -lutil
 */
#include <errno.h>
#include <modbus.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static modbus_t *opened(const char *port) {
    modbus_t *line = modbus_new_rtu(port, 115200, 'N', 8, 1);
    if (line == NULL || modbus_set_slave(line, 1) || modbus_connect(line)) {
        fprintf(stderr, "%s: %s\n", port, modbus_strerror(errno));
        exit(1);
    }
    return line;
}

static int relay(void) {
    int ends[2], far[2];
    char name[2][128];
    for (int i = 0; i < 2; i++) {
        struct termios raw;
        if (openpty(&ends[i], &far[i], name[i], NULL, NULL)) return 1;
        tcgetattr(far[i], &raw);
        cfmakeraw(&raw);
        tcsetattr(far[i], TCSANOW, &raw);
    }
    printf("%s\n%s\n", name[0], name[1]);
    fflush(stdout);
    struct pollfd heard[3] = {{ends[0], POLLIN, 0}, {ends[1], POLLIN, 0}, {0, POLLIN, 0}};
    for (;;) {
        char said[512];
        if (poll(heard, 3, -1) < 0) return 1;
        if (heard[2].revents) return 0;
        for (int i = 0; i < 2; i++) {
            if (!(heard[i].revents & POLLIN)) continue;
            ssize_t size = read(ends[i], said, sizeof said);
            if (size > 0 && write(ends[1 - i], said, size) != size) return 1;
        }
    }
}

static int slave(const char *port) {
    modbus_t *line = opened(port);
    modbus_mapping_t *map = modbus_mapping_new(0, 0, 200, 0);
    uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];
    puts("ready");
    fflush(stdout);
    for (;;) {
        int size = modbus_receive(line, query);
        if (size > 0) modbus_reply(line, query, size, map);
    }
}

static int master(const char *port, int count) {
    modbus_t *line = opened(port);
    uint16_t registers[12] = {0};
    for (int kind = 0; kind < 2; kind++) {
        for (int i = 0; i < count; i++) {
            long long began = now_ns();
            int done = kind ? modbus_write_registers(line, 105, 5, registers)
                            : modbus_read_registers(line, 0, 12, registers);
            long long took = now_ns() - began;
            if (done < 0) {
                fprintf(stderr, "transaction %d: %s\n", i, modbus_strerror(errno));
                return 1;
            }
            printf("%s %lld\n", kind ? "write" : "read", took);
        }
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 2 && !strcmp(argv[1], "relay")) return relay();
    if (argc == 3 && !strcmp(argv[1], "slave")) return slave(argv[2]);
    if (argc == 4 && !strcmp(argv[1], "master")) return master(argv[2], atoi(argv[3]));
    fprintf(stderr, "usage: peers relay | slave PORT | master PORT N\n");
    return 2;
}
