// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From the fields of one event of an answer to struct wire_ev. */
#include "userspace/wire/internal.h"

#include <math.h>
#include <string.h>

#include "userspace/util/str.h"

#define COUNT_MAX 1000000000000000 /* tokens: no count is as high as this */

/* --- events out --------------------------------------------------------------------------------------------------- */

void wire_emit(struct wire *w, enum wire_kind kind, uint64_t ts_ns, uint32_t n)
{
	struct wire_ev e = { .ts_ns = ts_ns, .query = w->query, .kind = kind, .n = n };

	w->emit(w->ctx, &e);
}

void wire_emit_model(struct wire *w, uint64_t ts_ns)
{
	struct wire_ev e = { .ts_ns = ts_ns, .query = w->query, .kind = WIRE_MODEL, .str = w->f.model };

	w->emit(w->ctx, &e);
	w->has_model = 1;
}

/*
 * Where the stream itself says how many tokens there are by now, an event's are the difference, which is nothing for
 * the second half of a token. Else it is one for each part; so too with several choices, which are often counted apart.
 */
static uint32_t tokens_of(struct wire *w)
{
	int64_t said = w->f.usage.completion, n = w->f.tokens ? w->f.tokens : w->f.parts;

	if (!n)
		return 0;
	if (said > w->counted)
		n = said - w->counted;
	else if ((said > 0 || (w->torn && w->says)) && !w->several)
		n = 0; /* of an event with a gap in it, the next one tells */
	w->says |= said > 0;
	w->counted += n;
	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static void usage_merge(struct wire_usage *to, const struct wire_usage *from)
{
	to->prompt = from->prompt >= 0 ? from->prompt : to->prompt;
	to->cached = from->cached >= 0 ? from->cached : to->cached;
	to->completion = from->completion >= 0 ? from->completion : to->completion;
}

/* llama.cpp gives the usage of each of several choices in an event of its own, without choices; others give the sum. */
static void usage_of_choice(struct wire *w, struct wire_usage *u)
{
	if (w->several && w->f.choice)
		u->completion = -1; /* of that choice alone, so far */
	if (w->f.choice || u->completion < 0)
		return;
	if (w->several && w->usage_apart && w->usage.completion < COUNT_MAX)
		u->completion += w->usage.completion;
	w->usage_apart = 1;
}

static void usage_take(struct wire *w)
{
	struct wire_usage *u = &w->f.usage;
	int64_t cached;

	cached = u->cached >= 0 ? u->cached : w->usage.cached;
	if (u->prompt < 0 && w->f.prompt_new >= 0)
		u->prompt = w->f.prompt_new + (cached > 0 ? cached : 0) +
			    (w->f.prompt_made > 0 ? w->f.prompt_made : 0);
	if (w->framing != FRAME_WHOLE) {
		usage_of_choice(w, u);
		if (w->several && !w->usage_apart)
			w->usage.completion = -1;
	}
	usage_merge(&w->usage, u);
}

void wire_fields_init(struct wire_fields *f)
{
	f->parts = f->tokens = 0;
	f->finish = f->error = f->part_said = f->several = f->choice = f->twin = 0;
	f->usage = (struct wire_usage){ -1, -1, -1 };
	f->prompt_new = f->prompt_made = -1;
	f->type[0] = f->model[0] = 0;
}

void wire_fields_out(struct wire *w)
{
	struct wire_fields *f = &w->f;
	uint32_t n;

	wire_twin(w, w->out_enter_ns);
	if (w->ops->fix)
		w->ops->fix(f);
	if (f->model[0] && !w->has_model)
		wire_emit_model(w, w->out_enter_ns);
	w->several |= f->several;
	n = tokens_of(w);
	usage_take(w);
	if (w->framing != FRAME_WHOLE && (f->parts || f->tokens))
		wire_emit(w, WIRE_TOKENS, w->out_enter_ns, n);
	if (w->framing != FRAME_WHOLE && f->finish) {
		w->finished = 1;
		wire_emit(w, WIRE_FINISH, w->out_enter_ns, 0);
	}
	if (f->error)
		wire_emit(w, WIRE_ERROR, w->out_enter_ns, 0);
	wire_fields_init(f);
}

/* --- fields in ---------------------------------------------------------------------------------------------------- */

static int64_t to_count(const struct json_val *v)
{
	int count = v->type == JSON_NUM && v->num >= 0 && v->num < COUNT_MAX && v->num == floor(v->num);

	return count ? (int64_t)v->num : -1;
}

static void on_part(struct wire_fields *f)
{
	f->parts += !f->part_said;
	f->part_said = 1;
}

void wire_field_in(void *ctx, int id, const struct json_val *v)
{
	struct wire *w = ctx;
	struct wire_fields *f = &w->f;

	switch (id) {
	case WF_MODEL:
		if (v->type == JSON_STRING && !w->has_model)
			str_clean(f->model, sizeof(f->model), v->str, v->len);
		break;
	case WF_TEXT:
		if (v->type == JSON_STRING && v->total)
			on_part(f);
		break;
	case WF_PART:
		on_part(f);
		break;
	case WF_CHOICE:
		f->choice = 1;
		f->part_said = 0;
		break;
	case WF_INDEX:
		f->several |= v->type == JSON_NUM && v->num > 0;
		break;
	case WF_TOKEN:
		f->tokens++;
		break;
	case WF_FINISH:
		f->finish |= (v->type == JSON_STRING && v->total) || v->type == JSON_TRUE;
		break;
	case WF_ERROR:
		f->error |= v->type != JSON_NULL && v->type != JSON_FALSE;
		break;
	case WF_PROMPT:
		f->usage.prompt = to_count(v);
		break;
	case WF_PROMPT_NEW:
		f->prompt_new = to_count(v);
		break;
	case WF_PROMPT_MADE:
		f->prompt_made = to_count(v);
		break;
	case WF_CACHED:
		f->usage.cached = to_count(v);
		break;
	case WF_COMPLETION:
		f->usage.completion = to_count(v);
		break;
	case WF_TYPE:
		if (v->type == JSON_STRING)
			str_clean(f->type, sizeof(f->type), v->str, v->len);
		break;
	case WF_TWIN:
		f->twin = 1;
		break;
	default:
		wire_task_field(w, id - WF_TASK, v);
	}
}
