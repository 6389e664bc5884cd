/* The yardstick: librabbitmq (rabbitmq-c). PROGRAM HOST PORT USER PASSWORD VHOST QUEUE WORK, with turns as common.py says.
 * Work (c) has a thread and a connection for each caller, as a connection of librabbitmq is one thread's alone. */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define WINDOW 1000
#define CALLERS 8

static char **given;
static double warm_until, ends, began, cpu_before;
static long counted;
static long counts[CALLERS], sent[CALLERS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char body[200];
static amqp_connection_state_t connections[CALLERS];

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void die(const char *what) {
  fprintf(stderr, "librabbitmq: %s\n", what);
  exit(1);
}

static long all(void) {
  long sum = 0;
  for (int i = 0; i < CALLERS; i++) sum += counts[i];
  return sum;
}

static int goes_on(void) {
  double at = now();
  if (!began && at >= warm_until) {
    pthread_mutex_lock(&lock);
    if (!began) {
      counted = all();
      cpu_before = cpu();
      began = at;
    }
    pthread_mutex_unlock(&lock);
  }
  return at < ends;
}

static amqp_connection_state_t connect_(void) {
  amqp_connection_state_t c = amqp_new_connection();
  amqp_socket_t *socket = amqp_tcp_socket_new(c);
  if (amqp_socket_open(socket, given[1], atoi(given[2]))) die("no connection");
  if (amqp_login(c, given[5], 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, given[3], given[4]).reply_type !=
      AMQP_RESPONSE_NORMAL)
    die("no login");
  amqp_channel_open(c, 1);
  amqp_confirm_select(c, 1);
  if (amqp_get_rpc_reply(c).reply_type != AMQP_RESPONSE_NORMAL) die("no channel");
  return c;
}

static void publish(amqp_connection_state_t c, long number, int caller) {
  char id[40];
  amqp_basic_properties_t p;
  memset(&p, 0, sizeof p);
  snprintf(id, sizeof id, "%08d-%027ld", caller, number);
  p._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_CONTENT_TYPE_FLAG;
  p.delivery_mode = 2;
  p.message_id = amqp_cstring_bytes(id);
  p.content_type = amqp_cstring_bytes("application/octet-stream");
  amqp_bytes_t b = {sizeof body, body};
  if (amqp_basic_publish(c, 1, amqp_empty_bytes, amqp_cstring_bytes(given[6]), 1, 0, &p, b)) die("can't publish");
}

/* Wait for one confirm; the highest tag that it speaks for, all up to it if *multiple. */
static unsigned long confirm(amqp_connection_state_t c, int *multiple) {
  amqp_frame_t f;
  for (;;) {
    amqp_maybe_release_buffers(c);
    if (amqp_simple_wait_frame(c, &f) != AMQP_STATUS_OK) die("connection lost");
    if (f.frame_type != AMQP_FRAME_METHOD) continue;
    if (f.payload.method.id != AMQP_BASIC_ACK_METHOD) die("not an ack");
    amqp_basic_ack_t *ack = f.payload.method.decoded;
    *multiple = ack->multiple;
    return ack->delivery_tag;
  }
}

static void *call(void *argument) {
  int place = (int)(long)argument, multiple;
  while (goes_on()) {
    publish(connections[place], ++sent[place], place);
    confirm(connections[place], &multiple);
    counts[place]++;
  }
  return NULL;
}

static void pipelined(void) {
  static char open_[1 << 26];
  static unsigned long lowest = 1;
  long unconfirmed = 0;
  int multiple;
  for (;;) {
    int more = goes_on();
    while (more && unconfirmed < WINDOW) {
      publish(connections[0], ++sent[0], 0);
      open_[sent[0] & ((1 << 26) - 1)] = 1;
      unconfirmed++;
    }
    if (!unconfirmed) return;
    unsigned long tag = confirm(connections[0], &multiple);
    for (unsigned long one = multiple ? lowest : tag; one <= tag; one++)
      if (open_[one & ((1 << 26) - 1)]) {
        open_[one & ((1 << 26) - 1)] = 0;
        unconfirmed--;
        counts[0]++;
      }
    if (multiple) lowest = tag + 1;
  }
}

static void turn(double warm_up, double seconds) {
  memset(counts, 0, sizeof counts);
  began = 0;
  warm_until = now() + warm_up;
  ends = warm_until + seconds;
  if (*given[7] == 'b') {
    pipelined();
  } else {
    pthread_t threads[CALLERS];
    int callers = *given[7] == 'a' ? 1 : CALLERS;
    for (long i = 0; i < callers; i++) pthread_create(&threads[i], NULL, call, (void *)i);
    for (int i = 0; i < callers; i++) pthread_join(threads[i], NULL);
  }
  printf("{\"seconds\": %f, \"messages\": %ld, \"cpu_s\": %f}\n", now() - began, all() - counted, cpu() - cpu_before);
}

int main(int count, char **arguments) {
  char line[100];
  if (count != 8) die("HOST PORT USER PASSWORD VHOST QUEUE WORK");
  given = arguments;
  memset(body, 'x', sizeof body);
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int i = 0; i < (*given[7] == 'c' ? CALLERS : 1); i++) connections[i] = connect_();
  puts("ready");
  while (fgets(line, sizeof line, stdin)) {
    double warm_up, seconds;
    if (sscanf(line, "%lf %lf", &warm_up, &seconds) != 2) die("a line is WARM_UP SECONDS");
    turn(warm_up, seconds);
  }
  return 0;
}
