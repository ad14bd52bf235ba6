/* Polka: policy-optimization kernels. The contract, in plain C.
 *
 * Every function returns a polka_status. Nothing is thrown across this interface and nothing is
 * printed; polka_last_error() has the text of the calling thread's last failure.
 *
 * Addresses are uint64_t: 0 means "absent". Sizes, strides and offsets are int64_t, in elements
 * unless a name says bytes. The caller owns all memory; no function allocates. Scratch memory is
 * asked for with polka_*_workspace and passed in polka_exec. Every argument struct starts with its
 * own size, so that fields can be added at the end.
 *
 * Rows are tokens. The rows of all sequences lie one after another ("packed"); sequence b owns rows
 * [offsets[b], offsets[b + 1]). A row whose target is the ignore index, or whose mask byte is 0, is
 * skipped: its outputs are 0, its gradient row is written as zeros and its logits are not read.
 *
 * All arithmetic over the vocabulary is f32 whatever the storage type; per-row results are f32;
 * sums over rows are f64, taken in a fixed order. Results do not depend on the number of threads
 * nor on which other rows are in the call.
 */
#ifndef POLKA_H
#define POLKA_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t polka_status;

/* polka_status */
#define POLKA_OK 0
#define POLKA_INVALID_ARGUMENT 1 /* a shape, type, option or address that cannot be served */
#define POLKA_OUT_OF_RANGE 2     /* a target outside the vocabulary */
#define POLKA_UNAVAILABLE 3      /* device or instruction set that this build or machine does not have */
#define POLKA_WORKSPACE 4        /* the workspace passed is smaller than the one asked for */
#define POLKA_CUDA_ERROR 5       /* a CUDA call failed; polka_last_error() starts with the error's name */
#define POLKA_CUDA_LOST 6        /* the same, and the device's context is gone for this process */

/* dtype */
#define POLKA_F32 0
#define POLKA_BF16 1
#define POLKA_F16 2
#define POLKA_F64 3
#define POLKA_I32 4
#define POLKA_I64 5

/* device_type */
#define POLKA_CPU 0
#define POLKA_CUDA 1

/* simd target */
#define POLKA_TARGET_NONE 0
#define POLKA_TARGET_SSE4 1
#define POLKA_TARGET_AVX2 2
#define POLKA_TARGET_AVX3 3

/* Where and how a call runs. */
typedef struct polka_exec {
  uint64_t stream;    /* CUDA stream the work is enqueued on; ignored on the CPU */
  uint64_t workspace; /* scratch memory, 64-byte aligned, or 0 where 0 bytes are needed */
  int64_t workspace_bytes;
  int64_t workspace_needed; /* out of polka_*_workspace: bytes that the call will need */
  int32_t device_type;      /* POLKA_CPU, POLKA_CUDA: where all memory of the call lives */
  int32_t device_index;
  int32_t threads;    /* CPU threads at most; 0 = polka_threads(), read anew by each function */
  int32_t ran_target; /* out: POLKA_TARGET_* of the kernel that ran; 0 when no row needed one */
} polka_exec;

/* A [rows, cols] view; the last dimension is contiguous. Rows may have two levels: rows are split
 * into outer_rows equal blocks, row r lies at
 *   data + (r / (rows / outer_rows)) * outer_stride + (r % (rows / outer_rows)) * row_stride.
 * outer_rows 1 is the plain case. */
typedef struct polka_matrix {
  uint64_t data;
  int64_t rows;
  int64_t cols;
  int64_t row_stride;
  int64_t outer_rows;
  int64_t outer_stride;
  int32_t dtype; /* POLKA_F32, POLKA_BF16, POLKA_F16 */
  int32_t reserved;
} polka_matrix;

/* Which column of each row is the target, and which rows count. */
typedef struct polka_targets {
  uint64_t data; /* [rows] int64 or int32 */
  uint64_t mask; /* [rows] bytes, 0 = skip the row; 0 = no mask */
  int64_t ignore_index;
  int32_t dtype; /* POLKA_I64, POLKA_I32 */
  int32_t reserved;
} polka_targets;

/* How logits z become a distribution: y = softcap * tanh(z / softcap) where softcap > 0 and z is
 * finite (an infinite logit stays infinite), then y / temperature, then columns whose keep bit is 0
 * count as -inf (the target is always kept). */
typedef struct polka_softmax {
  uint64_t row_temperature; /* [rows] f32, or 0: the scalar below is used; not read for skipped rows */
  uint64_t keep_mask;       /* one bit per column, least significant first; 0 = keep all */
  int64_t keep_mask_stride; /* bytes from row to row; >= (cols + 7) / 8 */
  int64_t valid_vocab;      /* columns at and beyond it are not read, their gradient is 0; 0 = cols */
  float temperature;        /* finite and >= 2^-126, so that its reciprocal is finite */
  float softcap;            /* 0 = none */
} polka_softmax;

/* What a sum over tokens is divided by. A token of sequence b weighs
 * 1 / divisor / (sequence_tokens ? max(sequence_tokens[b], 1) : 1). A divisor of 0 gives loss 0. */
typedef struct polka_normalizer {
  double divisor;
  uint64_t sequence_tokens; /* [sequences] int64 token counts, or 0 */
} polka_normalizer;

/* ---- library ------------------------------------------------------------------------------- */

const char* polka_version(void);
const char* polka_last_error(void);
/* Threads a call uses when its exec asks for 0. Setting n < 1 restores the machine's number. */
int32_t polka_threads(void);
void polka_set_threads(int32_t n);
/* 1 if the SIMD target is compiled in and this machine can run it. */
int32_t polka_target_supported(int32_t target);
const char* polka_target_name(int32_t target);
/* The target that calls will use: the forced one, else the best supported. */
int32_t polka_target(void);
/* Forces a target for the whole process; POLKA_TARGET_NONE returns to the best. */
polka_status polka_force_target(int32_t target);
/* 1 if this build has the CUDA backend and a device answers; else 0 and polka_last_error() says why. */
int32_t polka_cuda_available(void);
/* A CUDA call checks contents (targets, temperatures, offsets, rewards) on the device: a row that is
 * bad gets NaN, and the lowest one is noted in the first bytes of exec.workspace. This waits for
 * exec.stream and reports the row and its value, with the status that a call on the CPU returns. The
 * call must have had this workspace, and no call with the same workspace may have followed. */
polka_status polka_cuda_check(polka_exec* exec);

/* ---- log_prob ------------------------------------------------------------------------------ */

/* With y the transformed logits of a row before temperature, T its temperature, x = y / T:
 *   max      = max_j y_j                     log_sum  = ln sum_j exp((y_j - max) / T)
 *   log_prob = (y_t - max) / T - log_sum     lse      = max / T + log_sum
 * Each output is [rows] f32, or 0 where it is not wanted. */
typedef struct polka_log_prob_forward_args {
  int64_t struct_size;
  polka_exec exec;
  polka_matrix logits;
  polka_targets targets;
  polka_softmax softmax;
  uint64_t log_prob;
  uint64_t max;
  uint64_t log_sum;
  uint64_t lse;
  uint64_t entropy;         /* -sum_j p_j ln p_j */
  uint64_t sum_p2;          /* sum_j p_j^2 */
  uint64_t mean_logit;      /* mean of x over the finite kept columns */
  uint64_t self_certainty;  /* KL(uniform over the finite kept columns || p) = lse - mean_logit - ln n */
  uint64_t finite_columns;  /* [rows] f32: n above; the backward of self_certainty needs it */
  uint64_t top1;            /* largest probability */
  uint64_t top2;            /* second largest; equal to top1 on a tie, 0 for one column */
  uint64_t second_log_prob; /* log_prob at second_temperature */
  float second_temperature; /* as a temperature; read where second_log_prob is wanted */
  int32_t reserved;
} polka_log_prob_forward_args;

polka_status polka_log_prob_forward_workspace(polka_log_prob_forward_args* args);
polka_status polka_log_prob_forward(polka_log_prob_forward_args* args);

/* d_logits = gradient_scale * d(sum_r upstream . output) / d logits. d_logits may be the logits
 * themselves (in place) or a matrix of the logits' dtype or of f32. */
typedef struct polka_log_prob_backward_args {
  int64_t struct_size;
  polka_exec exec;
  polka_matrix logits;
  polka_targets targets;
  polka_softmax softmax;
  uint64_t max;            /* from forward */
  uint64_t log_sum;        /* from forward */
  uint64_t entropy;        /* from forward; needed where d_entropy is given */
  uint64_t finite_columns; /* from forward; needed where d_self_certainty is given */
  uint64_t d_log_prob;     /* [rows] f32 upstream gradients, each may be 0 */
  uint64_t d_entropy;
  uint64_t d_self_certainty;
  polka_matrix d_logits;
  float gradient_scale; /* 0 = not set, taken as 1; f16 logits in place need it set */
  int32_t reserved;
} polka_log_prob_backward_args;

polka_status polka_log_prob_backward(polka_log_prob_backward_args* args);

/* ---- token_kl ------------------------------------------------------------------------------ */

/* estimator, with d = log_prob - ref_log_prob */
#define POLKA_KL_NONE 0
#define POLKA_KL_K1 1  /* d */
#define POLKA_KL_ABS 2 /* |d| */
#define POLKA_KL_K2 3  /* d^2 / 2 */
#define POLKA_KL_K3 4  /* exp(-d) - 1 + d */

/* gradient mode */
#define POLKA_KL_PATHWISE 0            /* derivative of the estimator */
#define POLKA_KL_STRAIGHT_THROUGH_K2 1 /* value of the estimator, gradient of k2 */
#define POLKA_KL_IMPORTANCE_WEIGHTED 2 /* w * estimator, w = exp(log_prob - old); value 1 where old is absent */
#define POLKA_KL_DETACHED 3            /* gradient 0 */

/* At d = 0 the derivative of |d| is 0; at a bound itself the gradient still flows. An infinite
 * log-prob counts by what the formulas give for it, clamps included; a NaN gives NaN for its token. */

typedef struct polka_token_kl_args {
  int64_t struct_size;
  polka_exec exec;
  int64_t count;
  uint64_t log_prob;     /* [count] f32 */
  uint64_t ref_log_prob; /* [count] f32 */
  uint64_t old_log_prob; /* [count] f32 or 0; read in mode IMPORTANCE_WEIGHTED only */
  uint64_t mask;         /* [count] bytes or 0 */
  uint64_t upstream;     /* [count] f32 gradient of each value, or 0: ones */
  uint64_t kl;           /* out [count] f32, or 0 */
  uint64_t d_log_prob;   /* out [count] f32, or 0 */
  int32_t estimator;
  int32_t gradient_mode;
  float max_log_ratio; /* |d| and |log_prob - old| are clamped to it before exp, gradient 0 there; inf = off */
  float k3_max;        /* upper bound of k3, gradient 0 there; inf = off */
} polka_token_kl_args;

polka_status polka_token_kl(polka_token_kl_args* args);

/* ---- divergence ---------------------------------------------------------------------------- */

/* kind, with p the student's distribution and q the teacher's */
#define POLKA_FORWARD_KL 0      /* KL(q || p) */
#define POLKA_REVERSE_KL 1      /* KL(p || q) */
#define POLKA_JSD 2             /* beta KL(q || m) + (1 - beta) KL(p || m), m = beta q + (1 - beta) p; 0 < beta < 1 */
#define POLKA_SKEW_FORWARD_KL 3 /* KL(q || beta q + (1 - beta) p); 0 < beta < 1 */
#define POLKA_SKEW_REVERSE_KL 4 /* KL(p || beta p + (1 - beta) q); 0 < beta < 1 */
#define POLKA_TOTAL_VARIATION 5 /* sum |p - q| / 2; its derivative is 0 where p = q */
#define POLKA_CHI_SQUARED 6     /* sum (p - q)^2 / q */
/* sum (q^a p^(1 - a) - a q - (1 - a) p) / (a (a - 1)), a = alpha, finite, neither 0 nor 1: there the
 * limits are the reverse and the forward KL */
#define POLKA_ALPHA 7
#define POLKA_GENERALIZED_KL 8 /* sum q ln(q / p) - q + p: the forward KL of measures */

/* form of the teacher */
#define POLKA_LOGITS 0 /* q is the softmax of the teacher's rows */
/* The teacher's rows are ln q, taken as they are: soft targets whose sum can be anything. Its softmax
 * has temperature 1 and no softcap then, its lse is the log of that sum, and the KLs and skews, sums
 * of q ln(q / .) or p ln(p / .) and no more, can be negative. */
#define POLKA_LOG_WEIGHTS 1

/* value[r] is the divergence of row r. loss = sum_r w_r value_r / divisor over unmasked rows;
 * d_student = gradient_scale * d loss / d student logits, so that w_r is also where an upstream
 * gradient of value[r] goes. A divisor of 0 gives loss 0, gradient 0.
 *
 * With reference logits the teacher's logits are lambda y_teacher + (1 - lambda) y_reference, y taken
 * after softcap and before temperature, for any finite lambda: beyond 1 they go further than the
 * teacher went from its reference. A column at -inf in either is at -inf; a matrix whose factor is 0
 * is not read.
 *
 * Vocabularies differ where cols, or valid_vocab, do. They are refused, but for common_prefix: both
 * sides are then renormalised over the columns that both have, the others count as beyond valid_vocab. */
typedef struct polka_divergence_args {
  int64_t struct_size;
  polka_exec exec;
  polka_matrix student;
  polka_matrix teacher;
  polka_softmax student_softmax;
  polka_softmax teacher_softmax;
  uint64_t mask;            /* [rows] bytes or 0 */
  uint64_t row_weight;      /* [rows] f32 or 0: ones */
  uint64_t value;           /* out [rows] f32, or 0 */
  uint64_t student_entropy; /* out [rows] f32, or 0 */
  uint64_t student_lse;     /* out [rows] f32, or 0 */
  uint64_t teacher_lse;     /* out [rows] f32, or 0 */
  uint64_t loss;            /* out one f64, or 0 */
  polka_matrix d_student;   /* data 0: no gradient; the student's own memory: in place */
  double divisor;
  float gradient_scale;
  float beta;
  int32_t kind;
  int32_t teacher_form;   /* POLKA_LOGITS, POLKA_LOG_WEIGHTS */
  polka_matrix reference; /* data 0: none; under the teacher's softmax, of the same vocabulary */
  float lambda;           /* read where there is a reference */
  float alpha;
  int32_t common_prefix; /* 1: see above */
  int32_t reserved;
} polka_divergence_args;

polka_status polka_divergence_workspace(polka_divergence_args* args);
polka_status polka_divergence(polka_divergence_args* args);

/* ---- topk_divergence ----------------------------------------------------------------------- */

/* what stands for the columns that the teacher does not name */
#define POLKA_TAIL_NONE 0 /* nothing: the sum over the entries, of p and q as they are */
/* one more entry, of p = 1 - sum p_k and q = max(1 - sum q_k, 0), where any other column has mass */
#define POLKA_TAIL_BUCKET 1
#define POLKA_TAIL_RENORMALIZED 2 /* nothing: p and q are each divided by their sum over the entries */

#define POLKA_TOPK_MAX 512

/* divergence where the teacher is known by K columns a row and their log-probs. p is the softmax of
 * the whole row, so that the gradient is the exact one of the value, whole vocabulary included. With
 * TAIL_NONE the KLs and skews are plain sums of q ln(q / .) or p ln(p / .) and can be negative.
 * Loss, weights and divisor as in divergence. CPU only. */
typedef struct polka_topk_divergence_args {
  int64_t struct_size;
  polka_exec exec;
  polka_matrix student;
  polka_softmax softmax;
  int64_t entries;           /* K, 1 .. POLKA_TOPK_MAX */
  uint64_t teacher_ids;      /* [rows, entries] int32 or int64: columns, no two the same in a row */
  uint64_t teacher_log_prob; /* [rows, entries] f32: ln q_k; -inf is q_k = 0 */
  uint64_t mask;             /* [rows] bytes or 0 */
  uint64_t row_weight;       /* [rows] f32 or 0: ones */
  uint64_t value;            /* out [rows] f32, or 0, as all that follow */
  uint64_t student_entropy;
  uint64_t student_lse;
  uint64_t student_mass; /* sum p_k */
  uint64_t teacher_mass; /* sum q_k */
  uint64_t overlap;      /* share of the entries that fewer than K columns of the student exceed */
  uint64_t loss;         /* out one f64, or 0 */
  polka_matrix d_student;
  double divisor;
  float gradient_scale;
  float beta;
  float alpha;
  int32_t kind;
  int32_t tail;
  int32_t ids_dtype; /* POLKA_I64, POLKA_I32 */
} polka_topk_divergence_args;

polka_status polka_topk_divergence_workspace(polka_topk_divergence_args* args);
polka_status polka_topk_divergence(polka_topk_divergence_args* args);

/* ---- vocab_parallel ------------------------------------------------------------------------ */

/* A head split over the vocabulary: each rank holds some columns, [first_column, first_column +
 * cols) of them, and the ranks exchange a few numbers a row by any all-gather. CPU only.
 *
 * log_prob:    statistics of each shard -> gather -> merge -> backward of each shard.
 * divergence:  statistics and merge for student and teacher -> totals of each shard -> gather ->
 *              merge -> backward of each shard.
 * Shards are merged in their order, so that every rank gets the same bits. */

/* Numbers a row in the statistics of a shard, f32: max, the sums of e^x and e^x x without the target
 * (x = (y - max) / T), the target's y, and where the target is: 1 here, 0 elsewhere, 2 nowhere (a
 * call without targets), -1 for a skipped row. */
#define POLKA_SHARD_STATISTICS 5

typedef struct polka_vocab_log_prob_args {
  int64_t struct_size;
  polka_exec exec;
  polka_matrix logits;   /* the shard; the merge reads its rows alone */
  polka_targets targets; /* columns of the whole vocabulary; data 0: none, for a divergence */
  polka_softmax softmax; /* the shard's; the temperatures are the merge's too */
  int64_t first_column;
  int64_t vocabulary;  /* columns of all shards together */
  int64_t shards;      /* merge */
  uint64_t statistics; /* f32: out [rows, 5] of statistics, in [shards, rows, 5] of merge */
  uint64_t log_prob;   /* [rows] f32: out of merge, each may be 0; in of backward, that needs max, */
  uint64_t max;        /* log_sum, for d_log_prob log_prob, and for d_entropy entropy */
  uint64_t log_sum;
  uint64_t lse; /* out of merge, or 0 */
  uint64_t entropy;
  uint64_t d_log_prob; /* [rows] f32 upstream gradients, each may be 0 */
  uint64_t d_entropy;
  polka_matrix d_logits; /* backward: the shard's gradient, new or in place */
  float gradient_scale;  /* as in log_prob_backward */
  int32_t reserved;
} polka_vocab_log_prob_args;

polka_status polka_vocab_log_prob_statistics(polka_vocab_log_prob_args* args);
polka_status polka_vocab_log_prob_merge(polka_vocab_log_prob_args* args);
polka_status polka_vocab_log_prob_backward(polka_vocab_log_prob_args* args);

/* Numbers a row in the totals of a shard, f64: value, slopes, student's and teacher's mass. */
#define POLKA_SHARD_TOTALS 4

typedef struct polka_vocab_divergence_args {
  int64_t struct_size;
  polka_exec exec;
  polka_matrix student; /* the shard; the merge reads its rows alone */
  polka_matrix teacher; /* the same columns */
  polka_softmax student_softmax;
  polka_softmax teacher_softmax;
  uint64_t mask;        /* [rows] bytes or 0 */
  uint64_t row_weight;  /* [rows] f32 or 0: ones */
  uint64_t student_max; /* [rows] f32 each, from the merges of both sides */
  uint64_t student_log_sum;
  uint64_t teacher_max;
  uint64_t teacher_log_sum;
  int64_t shards;  /* merge */
  uint64_t totals; /* f64: out [rows, 4] of totals, in [shards, rows, 4] of merge */
  uint64_t merged; /* [rows, 4] f64: out of merge, in of backward */
  uint64_t value;  /* out of merge: [rows] f32, or 0 */
  uint64_t loss;   /* out of merge: one f64, or 0 */
  polka_matrix d_student;
  double divisor;
  float gradient_scale;
  float beta;
  float alpha;
  int32_t kind;
} polka_vocab_divergence_args;

polka_status polka_vocab_divergence_totals(polka_vocab_divergence_args* args);
polka_status polka_vocab_divergence_merge(polka_vocab_divergence_args* args);
polka_status polka_vocab_divergence_backward(polka_vocab_divergence_args* args);

/* ---- group_advantage ----------------------------------------------------------------------- */

/* baseline */
#define POLKA_BASELINE_MEAN 0          /* R_i - mean_j R_j */
#define POLKA_BASELINE_LEAVE_ONE_OUT 1 /* R_i - mean_{j != i} R_j */
#define POLKA_BASELINE_WEIGHTED_MEAN 2 /* R_i - sum_j w_j R_j / sum_j w_j */
#define POLKA_BASELINE_SOFT_MEAN 3     /* R_i - ln(sum_j w_j exp(soft_beta R_j) / sum_j w_j) / soft_beta */
#define POLKA_BASELINE_RUNNER_UP 4     /* the first of the best: R_i - max_{j != i} R_j; any other: 0 */
/* scale: what the difference is divided by */
#define POLKA_SCALE_NONE 0
#define POLKA_SCALE_STD_UNBIASED 1 /* the group's standard deviation over n - 1 */
#define POLKA_SCALE_STD_BIASED 2   /* over n */
/* That of the group's other rewards, over n - 2; not divided where those are all equal, or only one. */
#define POLKA_SCALE_STD_LEAVE_ONE_OUT 3
#define POLKA_SCALE_MEAN 4  /* the group's mean; a group whose mean is not > 0 gets 0 */
#define POLKA_SCALE_GIVEN 5 /* given_scale, such as a standard deviation over the whole batch */
/* where epsilon stands, s being the scale */
#define POLKA_EPSILON_OUTSIDE 0 /* s + epsilon */
#define POLKA_EPSILON_IN_SQRT 1 /* sqrt(s^2 + epsilon) */
/* a group with one finite reward */
#define POLKA_SINGLETON_ZERO 0  /* advantage 0 */
#define POLKA_SINGLETON_RAW 1   /* baseline 0, std and mean 1, then the same formula */
#define POLKA_SINGLETON_ERROR 2 /* POLKA_INVALID_ARGUMENT */

/* NaN rewards are excluded from the statistics and get advantage 0. A group whose finite rewards
 * are all equal gets exactly 0. Statistics are f64, two passes. A reward outside [-1e301, 1e301] is
 * refused: sums over a group must be finite. The advantages may be written over the
 * rewards where both have the same type. Weights are read by the weighted and the soft mean; a group
 * in which those of the finite rewards are all 0 gets 0. */
typedef struct polka_group_advantage_args {
  int64_t struct_size;
  polka_exec exec;
  int64_t count; /* rewards */
  int64_t groups;
  uint64_t rewards;        /* [count] f32 or f64 */
  uint64_t group_offsets;  /* [groups + 1] int64, from 0 to count, not falling */
  uint64_t advantages;     /* out [count] f32 or f64 */
  uint64_t mean;           /* out [groups] f64, or 0: mean of the finite rewards, NaN if none */
  uint64_t std;            /* out [groups] f64, or 0: over n for STD_BIASED, else over n - 1;
                             0 for one finite reward, NaN for none */
  uint64_t finite_count;   /* out [groups] int64, or 0 */
  uint64_t zero_variance;  /* out [groups] bytes, or 0: 1 where all finite rewards are equal (one or none included) */
  double epsilon;          /* >= 0 */
  int32_t reward_dtype;    /* POLKA_F32, POLKA_F64 */
  int32_t advantage_dtype; /* POLKA_F32, POLKA_F64 */
  int32_t baseline;
  int32_t scale;
  int32_t epsilon_placement;
  int32_t singleton;
  uint64_t weights;   /* [count] f64, finite and >= 0, such as lengths; or 0: ones */
  double soft_beta;   /* SOFT_MEAN: finite and not 0 */
  double given_scale; /* SCALE_GIVEN: finite and >= 0 */
} polka_group_advantage_args;

polka_status polka_group_advantage(polka_group_advantage_args* args);

/* ---- token_returns ------------------------------------------------------------------------- */

/* Backwards over the unmasked tokens of a sequence, with t' the next of them and 0 (or the bootstrap
 * value) after the last:
 *   without values   returns_t = r_t + gamma returns_t'           (gamma 1: sums of what follows)
 *   with values      delta_t = r_t + gamma V_t' - V_t             (generalized advantage estimation)
 *                    advantages_t = delta_t + gamma lambda advantages_t'
 *                    returns_t = V_t + the same sum with value_lambda
 * A masked token is not read, gets 0, and is passed over: neither discount nor lambda applies to it.
 * A factor of 0 ends the recursion whatever follows, NaN included. f64 within a sequence. */
typedef struct polka_token_returns_args {
  int64_t struct_size;
  polka_exec exec;
  int64_t count; /* tokens */
  int64_t sequences;
  uint64_t offsets;         /* [sequences + 1] int64, from 0 to count, not falling */
  uint64_t rewards;         /* [count] f32 */
  uint64_t values;          /* [count] f32, or 0 */
  uint64_t mask;            /* [count] bytes, 0 = skip the token; 0 = no mask */
  uint64_t bootstrap;       /* [sequences] f32: value after the last token (a sequence cut off), or 0: zeros */
  uint64_t sequence_lambda; /* [sequences] f32 within [0, 1] in place of lambda, or 0 */
  uint64_t advantages;      /* out [count] f32, or 0; needs values */
  uint64_t returns;         /* out [count] f32, or 0 */
  double gamma;             /* within [0, 1] */
  double lambda;            /* within [0, 1]; values only */
  double value_lambda;      /* within [0, 1]; values only */
  /* > 0: lambda of a sequence of n unmasked tokens is 1 - 1 / max(length_alpha n, 1), in place of the two above */
  double length_alpha;
} polka_token_returns_args;

polka_status polka_token_returns(polka_token_returns_args* args);

/* ---- segment ------------------------------------------------------------------------------- */

/* reduction over the unmasked tokens x of a segment; of a segment without any */
#define POLKA_SEGMENT_SUM 0          /* sum x; 0 */
#define POLKA_SEGMENT_MEAN 1         /* mean x; 0 */
#define POLKA_SEGMENT_MEAN_EXP 2     /* mean exp(x); 0 */
#define POLKA_SEGMENT_LOG_MEAN_EXP 3 /* ln mean exp(x), whatever the size of x; -inf */
#define POLKA_SEGMENT_MAX 4          /* max x; -inf */

/* One number per segment of tokens: a sequence, or a step of one. A masked token is not read. A NaN
 * makes its segment NaN. f64 within a segment, in the order of its tokens. */
typedef struct polka_segment_args {
  int64_t struct_size;
  polka_exec exec;
  int64_t count; /* tokens */
  int64_t segments;
  uint64_t offsets;   /* [segments + 1] int64, from 0 to count, not falling */
  uint64_t values;    /* [count] f32 */
  uint64_t mask;      /* [count] bytes, 0 = skip the token; 0 = no mask */
  uint64_t results;   /* out [segments] f32, or 0 */
  uint64_t broadcast; /* out [count] f32, or 0: of each token its segment's result; 0 where masked */
  int32_t reduction;
  int32_t reserved;
} polka_segment_args;

polka_status polka_segment(polka_segment_args* args);

/* ---- policy_loss --------------------------------------------------------------------------- */

/* ratio level */
#define POLKA_RATIO_TOKEN 0    /* r_t = exp(log_prob_t - old_t) */
#define POLKA_RATIO_SEQUENCE 1 /* r = exp(mean over the sequence's unmasked tokens of log_prob_t - old_t) */
/* gradient of the sequence ratio */
#define POLKA_SEQUENCE_TOKEN_DETACHED 0 /* log r_t = log_prob_t - stopgrad(log_prob_t) + stopgrad(mean) */
#define POLKA_SEQUENCE_THROUGH_MEAN 1   /* the derivative of the mean itself */

/* kind of objective: the loss l of one token, to be minimised, with ratio r, advantage A, log-prob x
 * and old log-prob x0; clip(r) is r held in [1 - clip_low, 1 + clip_high]; sg(.) is a constant for the
 * gradient; p = exp(x), p0 = exp(x0) */
#define POLKA_OBJECTIVE_CLIP 0         /* max(-A r', -A clip(r)), r' = min(r, ratio_max); A < 0: min(., -A dual_clip) */
#define POLKA_OBJECTIVE_CISPO 1        /* -A sg(clip(r)) x */
#define POLKA_OBJECTIVE_CISPO_MASKED 2 /* the same; 0 where A > 0, r > 1 + clip_high or A < 0, r < 1 - clip_low */
#define POLKA_OBJECTIVE_MASKED_IS 3    /* -A sg(r) x where clip(r) = r, else 0 */
#define POLKA_OBJECTIVE_TOPR 4         /* -A x where A > 0, else -A sg(clip(r)) x */
#define POLKA_OBJECTIVE_REINFORCE 5    /* -A x */
#define POLKA_OBJECTIVE_SAPO 6         /* -A (4 / tau) sigmoid(tau (r - 1)), tau by the sign of A */
/* The next three are -A r where kept, else 0, or where surrogate_max is not 0 -A sg(min(r,
 * surrogate_max)) x. Kept is what stays within trust_low and trust_high: */
#define POLKA_OBJECTIVE_DPPO_TV 7 /* A > 0: p - p0 <= trust_high; A <= 0: p - p0 >= -trust_low */
/* A > 0: K <= trust_high or p <= p0; A <= 0: K <= trust_low or p >= p0, where K = p0 (x0 - x) +
 * (1 - p0) ln((1 - p0 + 1e-8) / (1 - p + 1e-8)) */
#define POLKA_OBJECTIVE_DPPO_KL 8
#define POLKA_OBJECTIVE_IPO 9 /* -trust_low <= p - p0 <= trust_high, whatever A */
/* The next two need the sequence's ratio. GMPO: -A r, r = exp(mean of the held log-ratios), each held
 * at clip_high where A > 0 and above it, at -clip_low where A < 0 and below it; the geometric mean g
 * of the sequence's weights takes the place of w_t. VESPO: -A sg(phi) x, phi = exp(rate + shape ln W -
 * rate W), rate and shape by the sign of A, W = exp(sum over the sequence of the clamped log-ratio +
 * ln w_t) within [1e-8, exp(20)]; elsewhere w_t is 1. */
#define POLKA_OBJECTIVE_GMPO 10
#define POLKA_OBJECTIVE_VESPO 11
/* (regression_scale D - A)^2, D = sum over the sequence of its log-ratios, never clamped. Needs the
 * sequence's ratio; unlike in the others, an advantage of 0 is a target like any other. */
#define POLKA_OBJECTIVE_REGRESSION 12

/*   loss = sum_t n_t (w_t m_t (l_t + anchor_coefficient b_t anchor_t) + kl_coefficient kl_t)
 *        - sum_t e_t entropy_coefficient H_t - sum_t q_t nll_coefficient c_t x_t
 * n_t, e_t and q_t by the three normalizers; anchor_t is the anchor_estimator at x - x0. m_t is 0
 * where entropy_threshold is not 0 and H_t is below it, and where off_policy_max is not 0, A < 0, and
 * the sequence's mean of (behaviour - x) is above it; else 1. b_t and c_t come with the batch.
 *
 * A clipped, clamped or masked value is a constant, its gradient exactly 0; at a tie the first
 * argument of max and min decides, so that at a bound the gradient still flows. An advantage of 0
 * gives 0 even where the ratio overflows. A gradient through the ratio of a sequence goes the way
 * sequence_gradient says, every other one to its own token. */
typedef struct polka_policy_objective {
  double kl_coefficient;
  double entropy_coefficient;
  float clip_low;               /* inf = no lower bound */
  float clip_high;              /* inf = no upper bound */
  float dual_clip;              /* 0 = off, else > 1; CLIP only */
  float ratio_max;              /* 0 = off, else > 1 + clip_high (two-sided clip); CLIP only */
  float max_log_ratio;          /* |log_prob - old|, |log_prob - ref| are clamped to it before exp; inf = off */
  float sequence_max_log_ratio; /* upper bound of the mean log-ratio; inf = off */
  float k3_max;                 /* upper bound of k3; inf = off */
  int32_t ratio_level;
  int32_t sequence_gradient;
  int32_t kl_estimator;
  int32_t kl_gradient_mode;
  /* 1: a non-finite row is masked; 0: it and the loss are NaN. Non-finite is a row whose log-prob or
   * advantage or weight is not finite, or that reads a NaN as old, reference or behaviour log-prob or
   * as the entropy that entropy_threshold is compared with. */
  int32_t skip_non_finite;
  double anchor_coefficient;
  double nll_coefficient;
  float tau_positive;      /* SAPO: > 0, for A > 0 */
  float tau_negative;      /* SAPO: > 0, for A <= 0 */
  float shape_positive;    /* VESPO: for A >= 0 */
  float rate_positive;     /* VESPO: > 0 */
  float shape_negative;    /* VESPO: for A < 0 */
  float rate_negative;     /* VESPO: > 0 */
  float trust_low;         /* DPPO and IPO: >= 0 */
  float trust_high;        /* DPPO and IPO: >= 0 */
  float surrogate_max;     /* DPPO and IPO: 0 = off, else > 0 */
  float entropy_threshold; /* 0 = off, else > 0 */
  float off_policy_max;    /* 0 = off, else > 0 */
  int32_t kind;
  int32_t anchor_estimator; /* POLKA_KL_*; NONE where anchor_coefficient is 0 */
  float regression_scale;   /* REGRESSION: finite and > 0 */
} polka_policy_objective;

typedef struct polka_token_batch {
  int64_t sequences;
  uint64_t offsets;      /* [sequences + 1] int64, from 0 to rows, not falling */
  uint64_t old_log_prob; /* [rows] f32, or 0: ratio 1 with the gradient of exp(lp - stopgrad(lp)) */
  uint64_t ref_log_prob; /* [rows] f32; needed where kl_estimator is not NONE */
  uint64_t advantages;   /* [rows] f32, or [sequences] f32 where advantage_per_sequence is 1 */
  uint64_t weights;      /* [rows] f32 importance weights w_t (no gradient), or 0: ones */
  int32_t advantage_per_sequence;
  int32_t reserved;
  uint64_t behaviour_log_prob; /* [rows] f32 of the sampler, for off_policy_max, or 0: the old ones */
  uint64_t anchor_weights;     /* [rows] f32 b_t, or 0: ones */
  uint64_t nll_weights;        /* [rows] f32 c_t, or 0: 1 where A > 0, else 0 */
} polka_token_batch;

/* Written by policy_loss as f64. The *_sum fields are sums over counted tokens (or sequences, where
 * the name says so), so that micro-batches add up; divide by tokens (sequences) for the mean. */
typedef struct polka_policy_loss_metrics {
  /* policy_loss + kl_coefficient kl_loss - entropy_coefficient entropy_loss + nll_coefficient nll_loss */
  double loss;
  double policy_loss;  /* sum_t n_t w_t m_t (l_t + anchor_coefficient b_t anchor_t) */
  double kl_loss;      /* sum_t n_t kl_t */
  double entropy_loss; /* sum_t e_t H_t */
  double tokens;       /* counted tokens */
  double sequences;    /* sequences with a counted token */
  /* tokens whose bound changes the objective: the clipped branch strictly larger (verl pg_clipfrac), the
   * coefficient clipped, the token dropped, or its log-ratio held */
  double clipped_sum;
  double dual_clipped_sum;   /* tokens held by dual_clip (A < 0) or surrogate_max (verl pg_clipfrac_lower) */
  double clip_low_sum;       /* tokens below their range (or dropped) with A < 0 (TRL clip_ratio/low) */
  double clip_high_sum;      /* tokens above their range (or dropped) with A > 0 (TRL clip_ratio/high) */
  double clip_low_sequences; /* sequences with such a token; sequence ratio only, else 0 */
  double clip_high_sequences;
  double approx_kl_sum; /* sum of old - log_prob, clamped for a token ratio (verl ppo_kl) */
  double kl_sum;        /* sum of the KL estimate to the reference */
  double entropy_sum;
  double ratio_sum;
  double ratio_min;            /* +inf when no token counts */
  double ratio_max;            /* -inf when no token counts */
  double non_finite_rows;      /* unmasked rows that are non-finite, see skip_non_finite */
  double first_non_finite_row; /* the lowest of them, or -1 */
  double nll_loss;             /* -sum_t q_t c_t x_t */
  double anchor_loss;          /* sum_t n_t w_t m_t b_t anchor_t, a part of policy_loss */
  double abs_log_ratio_sum;    /* sum of |old - log_prob|, clamped for a token ratio */
  double squared_log_ratio_sum;
  double below_sum;            /* tokens below their range, whatever A */
  double above_sum;            /* tokens above their range, whatever A */
  double low_entropy_sum;      /* tokens under entropy_threshold */
  double off_policy_sequences; /* sequences above off_policy_max */
  double sequence_weight_sum;  /* VESPO: phi, GMPO: g; over sequences, the mean of its tokens for each */
} polka_policy_loss_metrics;

typedef struct polka_policy_loss_args {
  int64_t struct_size;
  polka_exec exec;
  polka_matrix logits;   /* polka_policy_loss only; rows gives N for both functions */
  polka_targets targets; /* ..._from_log_prob: tells which rows are skipped; data may be 0 */
  polka_softmax softmax; /* polka_policy_loss only */
  polka_token_batch batch;
  polka_policy_objective objective;
  polka_normalizer normalizer;
  polka_normalizer entropy_normalizer;
  uint64_t log_prob; /* [rows] f32: out (may be 0) of polka_policy_loss, in of ..._from_log_prob */
  uint64_t entropy;  /* the same; ..._from_log_prob needs it where a coefficient or threshold does */
  /* Out of ..._from_log_prob, [rows] f32, each may be 0: gradient_scale times d loss / d log_prob and
   * d loss / d entropy. */
  uint64_t d_log_prob;
  uint64_t d_entropy;
  uint64_t metrics;      /* out: one polka_policy_loss_metrics */
  polka_matrix d_logits; /* polka_policy_loss only; data 0: loss and metrics without gradient */
  float gradient_scale;  /* 0 = not set, taken as 1 */
  int32_t reserved;
  polka_normalizer nll_normalizer; /* read where nll_coefficient is not 0 */
} polka_policy_loss_args;

polka_status polka_policy_loss_workspace(polka_policy_loss_args* args);
polka_status polka_policy_loss(polka_policy_loss_args* args);
polka_status polka_policy_loss_from_log_prob_workspace(polka_policy_loss_args* args);
polka_status polka_policy_loss_from_log_prob(polka_policy_loss_args* args);

/* ---- value_loss ---------------------------------------------------------------------------- */

/* f(e) = e^2 / 2, or Huber's where huber_delta is not 0: delta (|e| - delta / 2) where |e| > delta. With
 * v the value, R the return and v0 the old value,
 *   l = max(f(v - R), f(v0 + clamp(v - v0, -clip, clip) - R)) where clip is not 0, else f(v - R)
 *   loss = sum_t n_t l_t over unmasked rows, n_t by the normalizer
 * d_values is gradient_scale times d loss / d value: 0 where the clamped value decides. */
typedef struct polka_value_loss_metrics {
  double loss;
  double tokens;         /* counted tokens */
  double clipped_sum;    /* tokens where the clamped value decides */
  double value_sum;      /* sum of the values */
  double return_mean;    /* mean of the returns */
  double return_squares; /* sum of their squared deviations from it */
  double error_mean;     /* the same of R - v: 1 - error_squares / return_squares is the explained variance */
  double error_squares;
  double non_finite_rows;      /* unmasked rows with a value, old value or return that is not finite */
  double first_non_finite_row; /* the lowest of them, or -1 */
} polka_value_loss_metrics;

typedef struct polka_value_loss_args {
  int64_t struct_size;
  polka_exec exec; /* CPU only */
  int64_t rows;
  int64_t sequences;
  uint64_t offsets;    /* [sequences + 1] int64, from 0 to rows, not falling */
  uint64_t mask;       /* [rows] bytes or 0 */
  uint64_t values;     /* [rows] f32 */
  uint64_t old_values; /* [rows] f32; needed where clip is not 0 */
  uint64_t returns;    /* [rows] f32 */
  uint64_t d_values;   /* out [rows] f32, or 0 */
  uint64_t metrics;    /* out: one polka_value_loss_metrics */
  polka_normalizer normalizer;
  float clip;              /* 0 = off, else > 0 */
  float huber_delta;       /* 0 = off, else > 0 */
  float gradient_scale;    /* 0 = not set, taken as 1 */
  int32_t skip_non_finite; /* 1: a non-finite row is masked; 0: it and the loss are NaN */
} polka_value_loss_args;

polka_status polka_value_loss(polka_value_loss_args* args);

/* ---- preference_loss ----------------------------------------------------------------------- */

/* kind: the loss of a unit. With s a response's score, r the reference's (0 where absent) and
 * u = beta (s - r), the first three take a group ranked from best to worst, of which each pair i < j
 * has h = u_i - bias u_j - margin, and average over its pairs; KTO takes each response by itself;
 * POSTERIOR takes a group whose targets t are log-probs of the prior plus the rewards over a
 * temperature: r is there what the responses were drawn by. */
#define POLKA_PREFERENCE_SIGMOID 0 /* -(1 - label_smoothing) ln sigmoid(h) - label_smoothing ln sigmoid(-h) */
#define POLKA_PREFERENCE_HINGE 1   /* max(0, 1 - h), with gradient 0 at h = 1 */
#define POLKA_PREFERENCE_IPO 2     /* ((h - 1/2) / beta)^2 */
/* desirable_weight sigmoid(-h), or undesirable_weight sigmoid(h), h = u - beta reference_point */
#define POLKA_PREFERENCE_KTO 3
#define POLKA_PREFERENCE_POSTERIOR 4 /* sum_i a_i ln(a_i / b_i), a = softmax(t - r), b = softmax(u) */

/* loss = sum w_unit loss_unit / divisor. A group without a pair has loss 0. All f64. */
typedef struct polka_preference_loss_metrics {
  double loss;
  double pairs;        /* pairs, KTO: responses */
  double correct;      /* pairs with u_i > u_j, KTO: responses on their side of the reference point */
  double margin_sum;   /* sum of u_i - u_j, KTO: of u, negated where undesirable */
  double chosen_sum;   /* sum of u_i, KTO: of the desirable u */
  double rejected_sum; /* sum of u_j, KTO: of the undesirable u */
  double non_finite_units;
  double first_non_finite_unit; /* the lowest unit whose loss is not finite, or -1 */
} polka_preference_loss_metrics;

typedef struct polka_preference_loss_args {
  int64_t struct_size;
  polka_exec exec; /* CPU only */
  int64_t count;   /* responses */
  int64_t groups;
  uint64_t group_offsets; /* [groups + 1] int64, from 0 to count, not falling; KTO does not read it */
  uint64_t scores;        /* [count]: sums, or means, of log-probs; rewards of a reward model */
  uint64_t ref_scores;    /* [count], or 0 */
  uint64_t targets;       /* [count]; POSTERIOR */
  uint64_t desirable;     /* [count] bytes; KTO */
  uint64_t weights;       /* [units], or 0: ones */
  uint64_t unit_losses;   /* out [units], or 0 */
  uint64_t d_scores;      /* out [count], or 0: d loss / d score */
  uint64_t metrics;       /* out: one polka_preference_loss_metrics */
  double divisor;         /* 0 gives loss 0 */
  double beta;            /* finite and > 0 */
  double margin;
  double bias;            /* in (0, 1] */
  double label_smoothing; /* in [0, 1]; SIGMOID only, else 0 */
  double reference_point; /* KTO: an estimate of KL(policy || reference), without gradient */
  double desirable_weight;
  double undesirable_weight;
  int32_t kind;
  int32_t reserved;
} polka_preference_loss_args;

polka_status polka_preference_loss(polka_preference_loss_args* args);

#ifdef __cplusplus
}
#endif

#endif
