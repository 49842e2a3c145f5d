// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "userspace/ipw/regress.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define N (REGRESS_MAX + 1)

/* A pivot that is smaller beside its variance is rounding: columns are kept to seven digits. */
#define SINGULAR 1e-10

const struct harness_fit harness_fits[HARNESS_FITS] = {
	{ "input_tokens_vs_ttft", VAR_PROMPT, VAR_TTFT },
	{ "total_tokens_vs_energy", VAR_TOTAL, VAR_ENERGY },
	{ "total_tokens_vs_latency", VAR_TOTAL, VAR_DURATION },
	{ "total_tokens_vs_power", VAR_TOTAL, VAR_POWER },
	{ "total_tokens_vs_power_log", VAR_LOG_TOTAL, VAR_POWER },
};

static double total(const struct config *c, uint32_t row)
{
	double in = config_num(c, COL_PROMPT, row), out = config_num(c, COL_COMPLETION, row);

	return isnan(in) ? out : isnan(out) ? in : in + out;
}

static double value(const struct config *c, enum variable v, uint32_t row)
{
	double t;

	switch (v) {
	case VAR_PROMPT:
		return config_num(c, COL_PROMPT, row);
	case VAR_COMPLETION:
		return config_num(c, COL_COMPLETION, row);
	case VAR_CACHED:
		return config_num(c, COL_CACHED, row);
	case VAR_TOTAL:
		return total(c, row);
	case VAR_LOG_TOTAL:
		t = total(c, row);
		return t > 0 ? log(t) : NAN;
	case VAR_ENERGY:
		return config_num(c, COL_ENERGY, row);
	case VAR_POWER:
		return config_power(c, row);
	case VAR_DURATION:
		return config_num(c, COL_DURATION, row);
	case VAR_TTFT:
		return config_num(c, COL_TTFT, row);
	}
	return NAN;
}

int varies(const struct config *c, enum variable v)
{
	double first = NAN, x;
	uint32_t i;

	for (i = 0; i < c->n; i++) {
		x = value(c, v, i);
		if (isnan(x))
			continue;
		if (isnan(first))
			first = x;
		if (x != first)
			return 1;
	}
	return 0;
}

/* x and, behind them, y of a row. 0: something is not known. */
static int row_of(const struct config *c, enum variable y, const enum variable *x, int vars, uint32_t row, double *ret)
{
	int k;

	for (k = 0; k < vars; k++)
		ret[k] = value(c, x[k], row);
	ret[vars] = value(c, y, row);
	for (k = 0; k <= vars && !isnan(ret[k]); k++)
		;
	return k > vars;
}

static uint32_t means(const struct config *c, enum variable y, const enum variable *x, int vars, double *mean)
{
	double v[N], sum[N] = { 0 };
	uint32_t i, n = 0;
	int k;

	for (i = 0; i < c->n; i++) {
		if (!row_of(c, y, x, vars, i, v))
			continue;
		n++;
		for (k = 0; k <= vars; k++)
			sum[k] += v[k];
	}
	for (k = 0; k <= vars; k++)
		mean[k] = sum[k] / n;
	return n;
}

/* Products of what is left of x and y when their means are taken off. */
static void products(const struct config *c, enum variable y, const enum variable *x, int vars, const double *mean,
		     double p[N][N])
{
	double v[N];
	uint32_t i;
	int a, b;

	for (i = 0; i < c->n; i++) {
		if (!row_of(c, y, x, vars, i, v))
			continue;
		for (a = 0; a <= vars; a++)
			for (b = 0; b <= vars; b++)
				p[a][b] += (v[a] - mean[a]) * (v[b] - mean[b]);
	}
}

/* inverse of the first n rows and columns of p, by Gauss and Jordan; p is positive: no pivoting. 0 or -EDOM. */
static int invert(double p[N][N], int n, double inv[N][N])
{
	double a[N][N], f, pivot;
	int i, k, j;

	memcpy(a, p, sizeof(a));
	for (i = 0; i < n; i++)
		for (k = 0; k < n; k++)
			inv[i][k] = i == k;
	for (i = 0; i < n; i++) {
		pivot = a[i][i];
		if (!(pivot > SINGULAR * p[i][i]))
			return -EDOM;
		for (j = 0; j < n; j++) {
			a[i][j] /= pivot;
			inv[i][j] /= pivot;
		}
		for (k = 0; k < n; k++) {
			f = a[k][i];
			for (j = 0; j < n && k != i; j++) {
				a[k][j] -= f * a[i][j];
				inv[k][j] -= f * inv[i][j];
			}
		}
	}
	return 0;
}

static double residuals(const struct config *c, enum variable y, const enum variable *x, const struct regression *r)
{
	double v[N], e, sum = 0;
	uint32_t i;
	int k;

	for (i = 0; i < c->n; i++) {
		if (!row_of(c, y, x, r->vars, i, v))
			continue;
		e = v[r->vars] - r->coef[0];
		for (k = 0; k < r->vars; k++)
			e -= r->coef[k + 1] * v[k];
		sum += e * e;
	}
	return sum;
}

/* G. A. F. Seber, A. J. Lee, Linear Regression Analysis, 2003, chapter 3, with the means taken off. */
static void errors(double inv[N][N], const double *mean, double ss_res, struct regression *r)
{
	double s2 = (int64_t)r->n > r->vars + 1 ? ss_res / (r->n - (double)r->vars - 1) : NAN, at_mean = 1.0 / r->n;
	int a, b;

	for (a = 0; a < r->vars; a++) {
		r->se[a + 1] = sqrt(s2 * inv[a][a]);
		for (b = 0; b < r->vars; b++)
			at_mean += mean[a] * inv[a][b] * mean[b];
	}
	r->se[0] = sqrt(s2 * at_mean);
}

int regress(const struct config *c, enum variable y, const enum variable *x, int vars, struct regression *ret)
{
	double mean[N], p[N][N] = { { 0 } }, inv[N][N] = { { 0 } }, ss_res;
	struct regression r = { .vars = vars, .r2 = NAN };
	int a, b;

	for (a = 0; a < N; a++)
		r.coef[a] = r.se[a] = NAN;
	r.n = means(c, y, x, vars, mean);
	r.y_mean = mean[vars];
	*ret = r;
	if (r.n < (uint32_t)vars + 1)
		return -ENODATA;
	products(c, y, x, vars, mean, p);
	if (invert(p, vars, inv))
		return -EDOM;
	r.coef[0] = r.y_mean;
	for (a = 0; a < vars; a++) {
		r.coef[a + 1] = 0;
		for (b = 0; b < vars; b++)
			r.coef[a + 1] += inv[a][b] * p[b][vars];
		r.coef[0] -= r.coef[a + 1] * mean[a];
	}
	ss_res = residuals(c, y, x, &r);
	r.r2 = p[vars][vars] > 0 ? 1 - ss_res / p[vars][vars] : 1;
	errors(inv, mean, ss_res, &r);
	*ret = r;
	return 0;
}
