#include "cluster/coordinate.h"

#include <math.h>

#define DIMENSIONS WIRE_SERF_DIMENSIONS
#define ERROR_MAX 1.5
#define ERROR_GAIN 0.25 /* Vivaldi's c_e */
#define FORCE_GAIN 0.25 /* and c_c */
#define HEIGHT_MIN 10.0e-6
#define GRAVITY_RHO 150.0
#define ZERO 1.0e-6

void cluster_coordinate_init(struct cluster_coordinate *c)
{
    *c = (struct cluster_coordinate){.at = {.error = ERROR_MAX, .height = HEIGHT_MIN}};
}

static bool near(double v)
{
    return isfinite(v) && fabs(v) <= CLUSTER_COORDINATE_FAR_S;
}

bool cluster_coordinate_good(const struct wire_serf_coordinate *v)
{
    for (unsigned i = 0; i < DIMENSIONS; i++)
        if (!near(v->vec[i]))
            return false;
    return near(v->adjustment) && near(v->height) && v->height >= 0 && near(v->error) &&
           v->error >= 0;
}

static double length_of(const double *v)
{
    double sum = 0;
    for (unsigned i = 0; i < DIMENSIONS; i++)
        sum += v[i] * v[i];
    return sqrt(sum);
}

static double raw_distance(const struct wire_serf_coordinate *a,
                           const struct wire_serf_coordinate *b)
{
    double way[DIMENSIONS];
    for (unsigned i = 0; i < DIMENSIONS; i++)
        way[i] = a->vec[i] - b->vec[i];
    return length_of(way) + (a->height + b->height);
}

double cluster_coordinate_distance_s(const struct wire_serf_coordinate *a,
                                     const struct wire_serf_coordinate *b)
{
    double raw = raw_distance(a, b);
    double adjusted = raw + (a->adjustment + b->adjustment);
    return adjusted > 0 ? adjusted : raw;
}

/* The direction from `to` to `from`, of length 1; returns the distance. Two at one place part
 * in a random direction, and the distance is 0. */
static double direction(const double *from, const double *to, struct cluster_random *random,
                        double *out)
{
    for (unsigned i = 0; i < DIMENSIONS; i++)
        out[i] = from[i] - to[i];
    double far = length_of(out), length = far;
    if (far <= ZERO) {
        for (unsigned i = 0; i < DIMENSIONS; i++)
            out[i] = (double)cluster_random_u32(random) / UINT32_MAX - 0.5;
        length = length_of(out);
        far = 0;
    }
    if (length <= ZERO) {
        out[0] = length = 1;
    }
    for (unsigned i = 0; i < DIMENSIONS; i++)
        out[i] /= length;
    return far;
}

/* A positive force pushes away from `other`. */
static void apply_force(struct wire_serf_coordinate *v, double force,
                        const struct wire_serf_coordinate *other, struct cluster_random *random)
{
    double unit[DIMENSIONS];
    double far = direction(v->vec, other->vec, random, unit);
    for (unsigned i = 0; i < DIMENSIONS; i++)
        v->vec[i] += unit[i] * force;
    if (far > ZERO) {
        v->height += (v->height + other->height) * force / far;
        v->height = fmax(v->height, HEIGHT_MIN);
    }
}

static void pull(struct cluster_coordinate *c, const struct wire_serf_coordinate *theirs,
                 double rtt_s, struct cluster_random *random)
{
    double distance = cluster_coordinate_distance_s(&c->at, theirs);
    double rtt = fmax(rtt_s, ZERO);
    double wrong = fabs(distance - rtt) / rtt;
    /* Who is sure of its place weighs more. */
    double weight = c->at.error / fmax(c->at.error + theirs->error, ZERO);
    double error = ERROR_GAIN * weight * wrong + c->at.error * (1 - ERROR_GAIN * weight);
    c->at.error = fmin(error, ERROR_MAX);
    double force = FORCE_GAIN * weight * (rtt - distance);
    force = fmax(fmin(force, CLUSTER_COORDINATE_STEP_S), -CLUSTER_COORDINATE_STEP_S);
    apply_force(&c->at, force, theirs, random);
}

static void adjust(struct cluster_coordinate *c, const struct wire_serf_coordinate *theirs,
                   double rtt_s)
{
    double sum = 0;
    c->errors[c->next_error] = rtt_s - raw_distance(&c->at, theirs);
    c->next_error = (c->next_error + 1) % CLUSTER_COORDINATE_WINDOW;
    for (unsigned i = 0; i < CLUSTER_COORDINATE_WINDOW; i++)
        sum += c->errors[i];
    c->at.adjustment = sum / (2.0 * CLUSTER_COORDINATE_WINDOW);
}

/* Keeps the whole map from drifting away. */
static void fall_to_origin(struct cluster_coordinate *c, struct cluster_random *random)
{
    const struct wire_serf_coordinate origin = {.error = ERROR_MAX, .height = HEIGHT_MIN};
    double distance = cluster_coordinate_distance_s(&origin, &c->at);
    double force = -pow(distance / GRAVITY_RHO, 2);
    apply_force(&c->at, force, &origin, random);
}

static double median_with(struct cluster_coordinate_peer *p, double rtt_s)
{
    float sorted[CLUSTER_COORDINATE_FILTER];
    p->rtt_s[p->next] = (float)rtt_s;
    p->next = (uint8_t)((p->next + 1) % CLUSTER_COORDINATE_FILTER);
    if (p->count < CLUSTER_COORDINATE_FILTER)
        p->count++;
    for (unsigned i = 0; i < p->count; i++) {
        unsigned at = i;
        for (; at > 0 && sorted[at - 1] > p->rtt_s[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = p->rtt_s[i];
    }
    return (double)sorted[p->count / 2];
}

bool cluster_coordinate_update(struct cluster_coordinate *c,
                               struct cluster_coordinate_peer *peer,
                               const struct wire_serf_coordinate *theirs, double rtt_s,
                               struct cluster_random *random)
{
    if (!cluster_coordinate_good(theirs) || !(rtt_s >= 0) ||
        rtt_s > CLUSTER_COORDINATE_RTT_MAX_S)
        return false;
    peer->at = *theirs;
    double rtt = median_with(peer, rtt_s);
    pull(c, theirs, rtt, random);
    adjust(c, theirs, rtt);
    fall_to_origin(c, random);
    if (!cluster_coordinate_good(&c->at)) /* pushed out of the map, step by step */
        cluster_coordinate_init(c);
    return true;
}
