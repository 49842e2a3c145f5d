// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/ipw/client.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <curl/curl.h>

#include "userspace/util/clock.h"
#include "userspace/util/str.h"

#define CONNECT_S  10L
#define MODELS_MAX (1u << 20)
#define IDLE_S     3L /* a connection that rested for longer is not used again: servers close them after 5 s */

struct call {
	struct call *next;   /* of those that rest */
	struct call *prev_run, *next_run;
	CURL        *easy;
	struct curl_slist *headers;
	struct client *client;
	int          again;  /* it was sent a second time */
	void        *user;
	struct reply reply;
};

struct client {
	struct client_opts o;
	client_done  done;
	void        *ctx;
	CURLM       *multi;
	int          epfd, timerfd;
	int          running;
	char        *url;
	struct call *rest, *run;
};

/* --- names -------------------------------------------------------------------------------------------------------- */

int client_host(const char *url, char *host, size_t size, unsigned *ret_port)
{
	CURLU *u = curl_url();
	char *h = NULL, *p = NULL;
	int ok = u && !curl_url_set(u, CURLUPART_URL, url, 0) && !curl_url_get(u, CURLUPART_HOST, &h, 0) &&
		 !curl_url_get(u, CURLUPART_PORT, &p, CURLU_DEFAULT_PORT) &&
		 (!strncmp(url, "http://", 7) || !strncmp(url, "https://", 8));

	if (ok) {
		snprintf(host, size, "%.*s", (int)strcspn(h[0] == '[' ? h + 1 : h, "]"), h[0] == '[' ? h + 1 : h);
		*ret_port = (unsigned)strtoul(p, NULL, 10);
	}
	curl_free(h);
	curl_free(p);
	curl_url_cleanup(u);
	return ok ? 0 : -EINVAL;
}

/* A socket can be bound to the address of this machine, and to no other. */
int client_is_local(const char *host)
{
	struct addrinfo *all = NULL, *a;
	int local = 0, fd;

	if (getaddrinfo(host, NULL, &(struct addrinfo){ .ai_socktype = SOCK_DGRAM }, &all))
		return 0;
	for (a = all; a && !local; a = a->ai_next) {
		fd = socket(a->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		local = fd >= 0 && !bind(fd, a->ai_addr, a->ai_addrlen);
		if (fd >= 0)
			close(fd);
	}
	freeaddrinfo(all);
	return local;
}

/* The URL of what: "http://host", "http://host/v1" and "http://host/v1/chat/completions" are the same server. */
static char *endpoint(const char *url, const char *what)
{
	static const char last[] = "/chat/completions";
	size_t n = strlen(url);
	char *ret;
	int v1;

	if (n >= sizeof(last) && !strcmp(url + n - sizeof(last) + 1, last))
		n -= sizeof(last) - 1;
	while (n && url[n - 1] == '/')
		n--;
	v1 = n != strlen(url) ? url[n] == '/' && url[n + 1] == 'c' : 0;
	v1 |= n > 2 && url[n - 2] == 'v' && url[n - 1] >= '0' && url[n - 1] <= '9' && url[n - 3] == '/';
	return asprintf(&ret, "%.*s%s%s", (int)n, url, v1 ? "" : "/v1", what) < 0 ? NULL : ret;
}

/* --- libcurl's calls ---------------------------------------------------------------------------------------------- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known)
{
	struct client *c = ctx;
	struct epoll_event ev = { .data.fd = fd };

	if (what == CURL_POLL_REMOVE) {
		(void)epoll_ctl(c->epfd, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	ev.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
	if (epoll_ctl(c->epfd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) && errno == ENOENT)
		(void)epoll_ctl(c->epfd, EPOLL_CTL_ADD, fd, &ev);
	curl_multi_assign(c->multi, fd, c);
	return 0;
}

static int on_timer(CURLM *multi, long ms, void *ctx)
{
	struct client *c = ctx;
	struct itimerspec t = { 0 };

	if (ms >= 0) {
		t.it_value.tv_sec = ms / 1000;
		t.it_value.tv_nsec = ms ? ms % 1000 * 1000000 : 1;
	}
	return timerfd_settime(c->timerfd, 0, &t, NULL) ? -1 : 0;
}

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
	struct call *k = ctx;

	reply_feed(&k->reply, p, n, clock_mono_ns());
	return n;
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

static void call_free(struct call *k)
{
	curl_easy_cleanup(k->easy);
	curl_slist_free_all(k->headers);
	reply_release(&k->reply);
	free(k);
}

static struct call *call_new(struct client *c)
{
	struct call *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->client = c;
	k->easy = curl_easy_init();
	if (!k->easy) {
		free(k);
		return NULL;
	}
	curl_easy_setopt(k->easy, CURLOPT_URL, c->url);
	curl_easy_setopt(k->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(k->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(k->easy, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
	curl_easy_setopt(k->easy, CURLOPT_TIMEOUT_MS, (long)(c->o.timeout_s * 1e3));
	curl_easy_setopt(k->easy, CURLOPT_MAXAGE_CONN, IDLE_S);
	curl_easy_setopt(k->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(k->easy, CURLOPT_WRITEDATA, k);
	curl_easy_setopt(k->easy, CURLOPT_PRIVATE, k);
	curl_easy_setopt(k->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	if (c->o.direct)
		curl_easy_setopt(k->easy, CURLOPT_PROXY, "");
	return k;
}

static int headers(struct call *k, const char *key, const char *request_id)
{
	char line[1024];
	const char *const fixed[] = { "Content-Type: application/json", "Expect:", line };
	struct curl_slist *more;
	size_t i, n = request_id ? 3 : 2;

	snprintf(line, sizeof(line), "X-Request-Id: %s", request_id ? request_id : "");
	curl_slist_free_all(k->headers);
	k->headers = NULL;
	for (i = 0; i < n; i++) {
		more = curl_slist_append(k->headers, fixed[i]);
		if (!more)
			return -ENOMEM;
		k->headers = more;
	}
	snprintf(line, sizeof(line), "Authorization: Bearer %s", key ? key : "");
	more = key ? curl_slist_append(k->headers, line) : k->headers;
	if (!more)
		return -ENOMEM;
	k->headers = more;
	return 0;
}

int client_post(struct client *c, const char *body, const char *request_id, void *user)
{
	struct call *k = c->rest ? c->rest : call_new(c);
	int err;

	if (!k)
		return -ENOMEM;
	if (k == c->rest)
		c->rest = k->next;
	reply_init(&k->reply);
	k->user = user;
	k->again = 0;
	curl_easy_setopt(k->easy, CURLOPT_FRESH_CONNECT, 0L);
	err = headers(k, c->o.key, request_id);
	curl_easy_setopt(k->easy, CURLOPT_HTTPHEADER, k->headers);
	if (err || curl_easy_setopt(k->easy, CURLOPT_COPYPOSTFIELDS, body) != CURLE_OK) {
		call_free(k);
		return -ENOMEM;
	}
	k->reply.start_ns = clock_mono_ns();
	if (curl_multi_add_handle(c->multi, k->easy) != CURLM_OK) {
		call_free(k);
		return -EIO;
	}
	k->prev_run = NULL;
	k->next_run = c->run;
	if (c->run)
		c->run->prev_run = k;
	c->run = k;
	c->running++;
	return 0;
}

/* As conn_addr() writes it. */
static void local_end(struct call *k)
{
	const char *ip = NULL;
	long port = 0;

	curl_easy_getinfo(k->easy, CURLINFO_LOCAL_IP, &ip);
	curl_easy_getinfo(k->easy, CURLINFO_LOCAL_PORT, &port);
	if (ip && *ip)
		snprintf(k->reply.local, sizeof(k->reply.local), strchr(ip, ':') ? "[%s]:%ld" : "%s:%ld", ip, port);
}

/* "HTTP 429, to be tried again in 60 s: Too many requests" */
static void status_text(struct reply *r)
{
	char said[sizeof(r->why)] = "", wait[48] = "";

	if (r->failed)
		memcpy(said, r->why, sizeof(said));
	if (r->retry_after_s > 0)
		snprintf(wait, sizeof(wait), ", to be tried again in %.0f s", r->retry_after_s);
	snprintf(r->why, sizeof(r->why), "HTTP %d%s%s%.*s", r->status, wait, *said ? ": " : "",
		 (int)sizeof(r->why) - 60, said);
}

static void judge(struct reply *r, CURLcode code)
{
	reply_over(r);
	if (r->status && r->status != 200) {
		r->end = REPLY_ERROR;
		status_text(r);
	}
	if (code == CURLE_OK || (r->end == REPLY_COMPLETE && r->finished && code != CURLE_OPERATION_TIMEDOUT))
		return;
	snprintf(r->why, sizeof(r->why), "%s", curl_easy_strerror(code));
	if (code == CURLE_OPERATION_TIMEDOUT)
		r->end = REPLY_TIMEOUT;
	else if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ||
		 code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION)
		r->end = REPLY_REFUSED;
	else
		r->end = r->events ? REPLY_CUT : REPLY_CLOSED;
}

static void finish(struct client *c, struct call *k)
{
	curl_multi_remove_handle(c->multi, k->easy);
	if (k->prev_run)
		k->prev_run->next_run = k->next_run;
	else
		c->run = k->next_run;
	if (k->next_run)
		k->next_run->prev_run = k->prev_run;
	c->running--;
	c->done(c->ctx, k->user, &k->reply);
	reply_release(&k->reply);
	k->next = c->rest;
	c->rest = k;
}

/*
 * The server has closed a connection that rested just when it was used again: nobody has seen the query, which goes out
 * once more, on a connection of its own.
 */
static int send_again(struct client *c, struct call *k, CURLcode code, long status)
{
	long connects = 1;

	curl_easy_getinfo(k->easy, CURLINFO_NUM_CONNECTS, &connects);
	if (connects || status || k->again ||
	    (code != CURLE_SEND_ERROR && code != CURLE_RECV_ERROR && code != CURLE_GOT_NOTHING))
		return 0;
	k->again = 1;
	curl_easy_setopt(k->easy, CURLOPT_FRESH_CONNECT, 1L);
	curl_multi_remove_handle(c->multi, k->easy);
	return curl_multi_add_handle(c->multi, k->easy) == CURLM_OK;
}

static void reap(struct client *c)
{
	struct call *k;
	CURLMsg *m;
	CURLcode code;
	curl_off_t after = 0;
	long status;
	int left;

	while ((m = curl_multi_info_read(c->multi, &left))) {
		if (m->msg != CURLMSG_DONE)
			continue;
		code = m->data.result;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &k);
		curl_easy_getinfo(k->easy, CURLINFO_RESPONSE_CODE, &status);
		if (send_again(c, k, code, status))
			continue;
		k->reply.end_ns = clock_mono_ns();
		k->reply.status = (int)status;
		curl_easy_getinfo(k->easy, CURLINFO_RETRY_AFTER, &after);
		k->reply.retry_after_s = after > 0 ? (double)after : 0;
		local_end(k);
		judge(&k->reply, code);
		finish(c, k);
	}
}

/* --- life --------------------------------------------------------------------------------------------------------- */

int client_fd(const struct client *c)
{
	return c->epfd;
}

int client_running(const struct client *c)
{
	return c->running;
}

void client_work(struct client *c)
{
	struct epoll_event ev[64];
	uint64_t ticks;
	int n = epoll_wait(c->epfd, ev, 64, 0), i, bits, running;

	for (i = 0; i < n; i++) {
		bits = (ev[i].events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
		       (ev[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
		       (ev[i].events & EPOLLERR ? CURL_CSELECT_ERR : 0);
		if (ev[i].data.fd != c->timerfd)
			curl_multi_socket_action(c->multi, ev[i].data.fd, bits, &running);
		else if (read(c->timerfd, &ticks, sizeof(ticks)) == sizeof(ticks))
			curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	reap(c);
}

void client_cancel(struct client *c)
{
	while (c->run) {
		c->run->reply.end_ns = clock_mono_ns();
		local_end(c->run);
		reply_over(&c->run->reply);
		c->run->reply.end = REPLY_CANCELLED;
		finish(c, c->run);
	}
}

int client_new(const struct client_opts *o, client_done done, void *ctx, struct client **ret)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct client *c = calloc(1, sizeof(*c));
	char host[256];
	unsigned port;

	if (!c)
		return -ENOMEM;
	*c = (struct client){ .o = *o, .done = done, .ctx = ctx, .epfd = -1, .timerfd = -1 };
	if (client_host(o->url, host, sizeof(host), &port)) {
		client_free(c);
		return -EINVAL;
	}
	curl_global_init(CURL_GLOBAL_DEFAULT);
	c->url = endpoint(o->url, "/chat/completions");
	c->multi = curl_multi_init();
	c->epfd = epoll_create1(EPOLL_CLOEXEC);
	c->timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	ev.data.fd = c->timerfd;
	if (!c->url || !c->multi || c->epfd < 0 || c->timerfd < 0 ||
	    epoll_ctl(c->epfd, EPOLL_CTL_ADD, c->timerfd, &ev)) {
		client_free(c);
		return -ENOMEM;
	}
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)o->max);
	*ret = c;
	return 0;
}

void client_free(struct client *c)
{
	struct call *k;

	if (!c)
		return;
	for (; (k = c->run); call_free(k)) {
		c->run = k->next_run;
		curl_multi_remove_handle(c->multi, k->easy);
	}
	for (; (k = c->rest); call_free(k))
		c->rest = k->next;
	if (c->multi)
		curl_multi_cleanup(c->multi);
	if (c->epfd >= 0)
		close(c->epfd);
	if (c->timerfd >= 0)
		close(c->timerfd);
	free(c->url);
	free(c);
}

/* --- the model ---------------------------------------------------------------------------------------------------- */

struct got {
	char  *p;
	size_t n;
};

static size_t on_models(char *p, size_t size, size_t n, void *ctx)
{
	struct got *g = ctx;
	char *more = g->n + n < MODELS_MAX ? realloc(g->p, g->n + n + 1) : NULL;

	if (!more)
		return 0;
	g->p = more;
	memcpy(g->p + g->n, p, n);
	g->n += n;
	return n;
}

int client_model(const struct client_opts *o, char *ret, size_t size, char *why, size_t why_size)
{
	struct client c = { .o = *o };
	struct got got = { 0 };
	const char *id = NULL;
	struct call *k = NULL;
	CURLcode code = CURLE_OUT_OF_MEMORY;
	long status = 0;
	cJSON *list;

	curl_global_init(CURL_GLOBAL_DEFAULT);
	c.url = endpoint(o->url, "/models");
	k = c.url ? call_new(&c) : NULL;
	if (k && !headers(k, o->key, NULL)) {
		curl_easy_setopt(k->easy, CURLOPT_HTTPHEADER, k->headers);
		curl_easy_setopt(k->easy, CURLOPT_WRITEFUNCTION, on_models);
		curl_easy_setopt(k->easy, CURLOPT_WRITEDATA, &got);
		curl_easy_setopt(k->easy, CURLOPT_TIMEOUT_MS, 1000 * CONNECT_S);
		code = curl_easy_perform(k->easy);
		curl_easy_getinfo(k->easy, CURLINFO_RESPONSE_CODE, &status);
	}
	list = cJSON_ParseWithLength(got.p ? got.p : "", got.n);
	id = cJSON_GetStringValue(cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(list, "data"), 0), "id"));
	if (id)
		str_clean(ret, size, id, strlen(id));
	if (code == CURLE_OK)
		snprintf(why, why_size, "GET %s: HTTP %ld and no model", c.url, status);
	else
		snprintf(why, why_size, "%s", curl_easy_strerror(code));
	cJSON_Delete(list);
	free(got.p);
	if (k)
		call_free(k);
	free(c.url);
	return id ? 0 : code == CURLE_OK ? -ENODATA : -ECONNREFUSED;
}
