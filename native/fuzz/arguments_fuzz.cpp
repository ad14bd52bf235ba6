// Calls every function of polka.h with random and hostile arguments. A call must come back with a
// known status; a refused one must have a text and must have written nothing. Crashes, overruns and
// undefined behaviour are for the sanitizers to see: build with -DPOLKA_FUZZ=ON -DPOLKA_SANITIZE=ON.
//
//   polka_fuzz --list
//   polka_fuzz OPERATION CALLS SEED     the same seed makes the same calls
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_call.h"

namespace polka::fuzz {
namespace {

polka_status LogProbForward(Arguments& a) {
  polka_log_prob_forward_args args = {};
  args.struct_size = a.StructSize(sizeof args);
  args.exec = a.Exec();
  args.logits = a.Matrix();
  args.targets = a.Targets();
  args.softmax = a.Softmax();
  for (uint64_t* output : {&args.log_prob, &args.max, &args.log_sum, &args.lse, &args.entropy, &args.sum_p2,
                           &args.mean_logit, &args.self_certainty, &args.finite_columns, &args.top1, &args.top2}) {
    *output = a.RowOutput();
  }
  if (a.random.OneIn(3)) args.second_log_prob = a.memory.Output(a.rows * 4);
  args.second_temperature = a.Field(0.9f, {0.0f, -1.0f});
  AskWorkspace(polka_log_prob_forward_workspace, &args, a);
  return polka_log_prob_forward(a.Field(&args, {nullptr}));
}

polka_status LogProbBackward(Arguments& a) {
  polka_log_prob_backward_args args = {};
  args.struct_size = a.StructSize(sizeof args);
  args.exec = a.Exec();
  args.logits = a.Matrix();
  args.targets = a.Targets();
  args.softmax = a.Softmax();
  args.max = a.RowFloats();
  args.log_sum = a.RowFloats();
  args.entropy = a.RowFloats();
  args.finite_columns = a.RowFloats();
  args.d_log_prob = a.MaybeRowFloats();
  args.d_entropy = a.MaybeRowFloats();
  args.d_self_certainty = a.MaybeRowFloats();
  args.d_logits = MaybeGradient(a, args.logits);
  args.gradient_scale = a.Field(1.0f, {0.0f, -2.0f});
  return polka_log_prob_backward(a.Field(&args, {nullptr}));
}

polka_status TokenKl(Arguments& a) {
  polka_token_kl_args args = {};
  args.struct_size = a.StructSize(sizeof args);
  args.exec = a.Exec();
  args.count = a.Field(a.rows, {INT64_C(-1), INT64_MIN});
  args.log_prob = a.RowFloats();
  args.ref_log_prob = a.RowFloats();
  args.old_log_prob = a.MaybeRowFloats();
  args.mask = a.Mask();
  args.upstream = a.MaybeRowFloats();
  args.kl = a.RowOutput();
  args.d_log_prob = a.RowOutput();
  args.estimator = a.Field(static_cast<int32_t>(1 + a.random.Below(4)), {0, -1, 5, INT32_MAX});
  args.gradient_mode = a.Field(static_cast<int32_t>(a.random.Below(4)), {-1, 4, INT32_MIN});
  args.max_log_ratio = a.Field(20.0f, {0.0f, -1.0f});
  args.k3_max = a.Field(10.0f, {0.0f, -1.0f});
  return polka_token_kl(a.Field(&args, {nullptr}));
}

polka_status GroupAdvantage(Arguments& a) {
  polka_group_advantage_args args = {};
  const int64_t groups = a.random.Below(5);
  const int64_t count = groups == 0 ? 0 : a.rows;
  args.struct_size = a.StructSize(sizeof args);
  args.exec = a.Exec();
  args.count = a.Field(count, {INT64_C(-1), INT64_MIN, count + 1});
  args.groups = a.Field(groups, {INT64_C(-1), INT64_MIN});
  args.reward_dtype = a.random.OneIn(2) ? POLKA_F32 : POLKA_F64;
  args.advantage_dtype = a.random.OneIn(2) ? POLKA_F32 : POLKA_F64;
  args.rewards = a.memory.Input((count + 1) * 8);
  for (int64_t i = 0; i <= count; ++i) {
    const double reward = static_cast<double>(a.random.Below(4));
    if (args.reward_dtype == POLKA_F64) {
      reinterpret_cast<double*>(args.rewards)[i] = a.Field(reward, {1e300, -1e-300});
    } else {
      reinterpret_cast<float*>(args.rewards)[i] = a.Field(static_cast<float>(reward), {a.random.Value()});
    }
  }
  args.group_offsets = a.memory.Offsets(groups, count);
  if (groups > 0) reinterpret_cast<int64_t*>(args.group_offsets)[a.random.Below(groups + 1)] += a.Field(0, {1, -1, -9});
  args.advantages = a.memory.Output((count + 1) * 8);
  args.mean = a.memory.MaybeOutput(groups * 8);
  args.std = a.memory.MaybeOutput(groups * 8);
  args.finite_count = a.memory.MaybeOutput(groups * 8);
  args.zero_variance = a.memory.MaybeOutput(groups);
  args.epsilon = a.Field(1e-6, {-1.0, 0.0});
  args.reward_dtype = a.Field(args.reward_dtype, {-1, POLKA_I64, 99});
  args.advantage_dtype = a.Field(args.advantage_dtype, {-1, POLKA_BF16, 99});
  args.baseline = a.Field(static_cast<int32_t>(a.random.Below(5)), {-1, 5});
  args.scale = a.Field(static_cast<int32_t>(a.random.Below(6)), {-1, 6});
  if (a.random.OneIn(2)) {
    args.weights = a.memory.Input(count * 8);
    for (int64_t i = 0; i < count; ++i) {
      const double weight = static_cast<double>(a.random.Below(4));
      reinterpret_cast<double*>(args.weights)[i] = a.Field(weight, {-1.0, static_cast<double>(NAN), 1e300});
    }
  }
  args.soft_beta = a.Field(0.5, {0.0, static_cast<double>(NAN), 1e300, -1e-300});
  args.given_scale = a.Field(2.0, {0.0, -1.0, static_cast<double>(INFINITY)});
  args.epsilon_placement = a.Field(static_cast<int32_t>(a.random.Below(2)), {-1, 2});
  args.singleton = a.Field(static_cast<int32_t>(a.random.Below(2)), {POLKA_SINGLETON_ERROR, -1, 3});
  return polka_group_advantage(a.Field(&args, {nullptr}));
}

polka_status TokenReturns(Arguments& a) {
  polka_token_returns_args args = {};
  const int64_t sequences = a.rows == 0 ? a.random.Below(3) : 1 + a.random.Below(4);
  args.struct_size = a.StructSize(sizeof args);
  args.exec = a.Exec();
  args.count = a.Field(a.rows, {INT64_C(-1), INT64_MIN});
  args.sequences = a.Field(sequences, {INT64_C(-1), INT64_MIN});
  args.offsets = a.memory.Offsets(sequences, a.rows);
  reinterpret_cast<int64_t*>(args.offsets)[a.random.Below(sequences + 1)] += a.Field(0, {1, -1, -9});
  args.rewards = a.RowFloats();
  const bool values = a.random.OneIn(2);
  if (values) args.values = a.RowFloats();
  args.mask = a.Mask();
  if (a.random.OneIn(2)) args.bootstrap = a.memory.Floats(sequences);
  if (a.random.OneIn(2)) {
    args.sequence_lambda = a.memory.Input(sequences * 4);
    for (int64_t b = 0; b < sequences; ++b) {
      reinterpret_cast<float*>(args.sequence_lambda)[b] = a.Field(0.5f, {-1.0f, NAN, 2.0f});
    }
  }
  args.advantages = a.Field(values ? a.RowOutput() : 0, {UINT64_C(2)});
  args.returns = a.RowOutput();
  args.gamma = a.Field(a.random.Pick({1.0, 0.9, 0.0}), {-1.0, 2.0});
  args.lambda = a.Field(a.random.Pick({1.0, 0.9, 0.0}), {-1.0, static_cast<double>(NAN)});
  args.value_lambda = a.Field(a.random.Pick({1.0, 0.9, 0.0}), {-1.0, 2.0});
  args.length_alpha = a.Field(a.random.Pick({0.0, 0.05}), {-1.0, static_cast<double>(INFINITY)});
  return polka_token_returns(a.Field(&args, {nullptr}));
}

polka_status Segment(Arguments& a) {
  polka_segment_args args = {};
  const int64_t segments = a.rows == 0 ? a.random.Below(3) : 1 + a.random.Below(4);
  args.struct_size = a.StructSize(sizeof args);
  args.exec = a.Exec();
  args.count = a.Field(a.rows, {INT64_C(-1), INT64_MIN});
  args.segments = a.Field(segments, {INT64_C(-1), INT64_MIN});
  args.offsets = a.memory.Offsets(segments, a.rows);
  reinterpret_cast<int64_t*>(args.offsets)[a.random.Below(segments + 1)] += a.Field(0, {1, -1, -9});
  args.values = a.RowFloats();
  args.mask = a.Mask();
  args.results = a.memory.MaybeOutput(segments * 4);
  args.broadcast = a.RowOutput();
  args.reduction = a.Field(static_cast<int32_t>(a.random.Below(5)), {-1, 5, INT32_MIN});
  return polka_segment(a.Field(&args, {nullptr}));
}

polka_status ValueLoss(Arguments& a) {
  polka_value_loss_args args = {};
  const int64_t sequences = a.rows == 0 ? a.random.Below(3) : 1 + a.random.Below(4);
  args.struct_size = a.StructSize(sizeof args);
  args.exec = a.Exec();
  args.rows = a.Field(a.rows, {INT64_C(-1), INT64_MIN});
  args.sequences = a.Field(sequences, {INT64_C(-1), INT64_MIN});
  args.offsets = a.memory.Offsets(sequences, a.rows);
  reinterpret_cast<int64_t*>(args.offsets)[a.random.Below(sequences + 1)] += a.Field(0, {1, -1, -9});
  args.mask = a.Mask();
  args.values = a.RowFloats();
  args.returns = a.RowFloats();
  args.old_values = a.RowFloats();
  args.d_values = a.RowOutput();
  args.metrics = a.Field(a.memory.Output(sizeof(polka_value_loss_metrics)), {UINT64_C(0)});
  args.normalizer = a.Normalizer(sequences);
  args.clip = a.Field(a.random.Pick({0.0f, 0.2f}), {-1.0f, NAN, INFINITY});
  args.huber_delta = a.Field(a.random.Pick({0.0f, 10.0f}), {-1.0f, NAN});
  args.gradient_scale = a.Field(1.0f, {0.0f, -2.0f, NAN});
  args.skip_non_finite = a.Field(static_cast<int32_t>(a.random.Below(2)), {-1, 2});
  return polka_value_loss(a.Field(&args, {nullptr}));
}

polka_status PreferenceLoss(Arguments& a) {
  polka_preference_loss_args args = {};
  const int64_t groups = a.rows == 0 ? a.random.Below(3) : 1 + a.random.Below(4);
  const auto doubles = [&](int64_t count) {
    const uint64_t address = a.memory.Input(count * 8);
    for (int64_t i = 0; i < count; ++i) {
      reinterpret_cast<double*>(address)[i] = static_cast<double>(a.random.Value());
    }
    return address;
  };
  args.struct_size = a.StructSize(sizeof args);
  args.exec = a.Exec();
  args.kind = static_cast<int32_t>(a.random.Below(POLKA_PREFERENCE_POSTERIOR + 1));
  const int64_t units = args.kind == POLKA_PREFERENCE_KTO ? a.rows : groups;
  args.label_smoothing = args.kind == POLKA_PREFERENCE_SIGMOID ? a.Field(0.1, {-1.0, 2.0}) : a.Field(0.0, {0.1});
  args.count = a.Field(a.rows, {INT64_C(-1), INT64_MIN});
  args.groups = a.Field(groups, {INT64_C(-1), INT64_MIN});
  args.group_offsets = a.memory.Offsets(groups, a.rows);
  reinterpret_cast<int64_t*>(args.group_offsets)[a.random.Below(groups + 1)] += a.Field(0, {1, -1, -9});
  args.scores = doubles(a.rows);
  if (a.random.OneIn(2)) args.ref_scores = doubles(a.rows);
  args.targets = doubles(a.rows);
  args.desirable = a.memory.Bytes(a.rows);
  if (a.random.OneIn(2)) args.weights = doubles(units);
  args.unit_losses = a.memory.MaybeOutput(units * 8);
  args.d_scores = a.memory.MaybeOutput(a.rows * 8);
  args.metrics = a.Field(a.memory.Output(sizeof(polka_preference_loss_metrics)), {UINT64_C(0)});
  args.divisor = a.Field(3.0, {0.0, -1.0, static_cast<double>(NAN)});
  args.beta = a.Field(0.1, {0.0, static_cast<double>(INFINITY)});
  args.margin = a.Field(0.5, {static_cast<double>(NAN)});
  args.bias = a.Field(0.5, {0.0, 2.0});
  args.reference_point = a.Field(0.1, {static_cast<double>(NAN)});
  args.desirable_weight = args.undesirable_weight = a.Field(1.0, {static_cast<double>(INFINITY)});
  return polka_preference_loss(a.Field(&args, {nullptr}));
}

polka_policy_objective Objective(Arguments& a) {
  polka_policy_objective o = {};
  o.entropy_coefficient = a.Field(a.random.Pick({0.0, 0.01}), {-1.0});
  o.clip_low = a.Field(0.2f, {-1.0f, 2.0f});
  o.clip_high = a.Field(0.28f, {-1.0f});
  const int32_t kind = static_cast<int32_t>(a.random.Below(POLKA_OBJECTIVE_REGRESSION + 1));
  o.kind = a.Field(kind, {-1, POLKA_OBJECTIVE_REGRESSION + 1, INT32_MAX});
  const bool clip = kind == POLKA_OBJECTIVE_CLIP, whole = kind >= POLKA_OBJECTIVE_GMPO;
  o.dual_clip = a.Field(clip ? a.random.Pick({0.0f, 3.0f}) : 0, {-1.0f, 0.5f});
  o.ratio_max = a.Field(clip ? a.random.Pick({0.0f, 5.0f}) : 0, {-1.0f, 1.0f});
  o.tau_positive = o.rate_positive = a.Field(1.0f, {0.0f, NAN});
  o.tau_negative = o.rate_negative = a.Field(2.0f, {-1.0f, INFINITY});
  o.shape_positive = o.shape_negative = a.Field(3.0f, {NAN});
  o.regression_scale = a.Field(0.5f, {0.0f, -1.0f, NAN});
  o.trust_low = a.Field(0.1f, {-1.0f, INFINITY});
  o.trust_high = a.Field(0.1f, {NAN});
  o.surrogate_max = a.Field(a.random.Pick({0.0f, 2.0f}), {-1.0f});
  o.entropy_threshold = a.Field(a.random.Pick({0.0f, 1.0f}), {-1.0f, NAN});
  o.off_policy_max = a.Field(a.random.Pick({0.0f, 0.1f}), {-1.0f, INFINITY});
  const int32_t anchor = static_cast<int32_t>(a.random.Below(5));
  o.anchor_estimator = a.Field(anchor, {-1, 5});
  o.anchor_coefficient = anchor == POLKA_KL_NONE ? 0 : 0.1;
  o.nll_coefficient = a.Field(a.random.Pick({0.0, 0.1}), {static_cast<double>(NAN)});
  o.max_log_ratio = a.Field(20.0f, {0.0f, -1.0f});
  o.sequence_max_log_ratio = a.Field(20.0f, {-1.0f});
  o.k3_max = a.Field(10.0f, {-1.0f});
  o.ratio_level = a.Field(whole ? POLKA_RATIO_SEQUENCE : static_cast<int32_t>(a.random.Below(2)), {-1, 0, 2});
  o.sequence_gradient = a.Field(static_cast<int32_t>(a.random.Below(2)), {-1, 2});
  const int32_t estimator = static_cast<int32_t>(a.random.Below(5));
  o.kl_estimator = a.Field(estimator, {-1, 5, POLKA_KL_NONE});
  o.kl_coefficient = a.Field(estimator == POLKA_KL_NONE ? 0 : 0.1, {-1.0, 0.1});
  o.kl_gradient_mode = a.Field(static_cast<int32_t>(a.random.Below(4)), {-1, 4});
  o.skip_non_finite = a.Field(static_cast<int32_t>(a.random.Below(2)), {-1, 2});
  return o;
}

// Everything that the two policy_loss functions share.
polka_policy_loss_args PolicyLossArgs(Arguments& a) {
  polka_policy_loss_args args = {};
  const int64_t sequences = a.rows == 0 ? 0 : 1 + a.random.Below(4);
  args.struct_size = a.StructSize(sizeof args);
  args.exec = a.Exec();
  args.logits = a.Matrix();
  args.targets = a.Targets();
  args.softmax = a.Softmax();
  args.batch.sequences = a.Field(sequences, {INT64_C(-1), INT64_MIN});
  args.batch.offsets = a.memory.Offsets(sequences, a.rows);
  reinterpret_cast<int64_t*>(args.batch.offsets)[a.random.Below(sequences + 1)] += a.Field(0, {1, -1, -9});
  args.batch.old_log_prob = a.MaybeRowFloats();
  args.batch.ref_log_prob = a.RowFloats();
  args.batch.weights = a.MaybeRowFloats();
  args.batch.behaviour_log_prob = a.MaybeRowFloats();
  args.batch.anchor_weights = a.MaybeRowFloats();
  args.batch.nll_weights = a.MaybeRowFloats();
  args.batch.advantage_per_sequence = static_cast<int32_t>(a.random.Below(2));
  args.batch.advantages = a.memory.Floats(args.batch.advantage_per_sequence ? sequences : a.rows);
  args.batch.advantages = a.Field(args.batch.advantages, {UINT64_C(0)});
  args.objective = Objective(a);
  args.normalizer = a.Normalizer(sequences);
  args.entropy_normalizer = a.Normalizer(sequences);
  args.nll_normalizer = a.Normalizer(sequences);
  args.metrics = a.Field(a.memory.Output(sizeof(polka_policy_loss_metrics)), {UINT64_C(0)});
  args.gradient_scale = a.Field(1.0f, {0.0f, -2.0f});
  return args;
}

polka_status PolicyLoss(Arguments& a) {
  polka_policy_loss_args args = PolicyLossArgs(a);
  args.log_prob = a.RowOutput();
  args.entropy = a.RowOutput();
  if (!a.random.OneIn(3)) args.d_logits = MaybeGradient(a, args.logits);
  AskWorkspace(polka_policy_loss_workspace, &args, a);
  return polka_policy_loss(a.Field(&args, {nullptr}));
}

polka_status PolicyLossFromLogProb(Arguments& a) {
  polka_policy_loss_args args = PolicyLossArgs(a);
  args.log_prob = a.RowFloats();
  args.entropy = a.RowFloats();
  args.d_log_prob = a.RowOutput();
  args.d_entropy = a.RowOutput();
  AskWorkspace(polka_policy_loss_from_log_prob_workspace, &args, a);
  return polka_policy_loss_from_log_prob(a.Field(&args, {nullptr}));
}

struct Operation {
  const char* name;
  polka_status (*call)(Arguments&);
};

constexpr Operation kOperations[] = {
    {"log_prob_forward", LogProbForward},
    {"log_prob_backward", LogProbBackward},
    {"token_kl", TokenKl},
    {"divergence", Divergence},
    {"topk_divergence", TopkDivergence},
    {"vocab_log_prob", VocabLogProb},
    {"group_advantage", GroupAdvantage},
    {"token_returns", TokenReturns},
    {"segment", Segment},
    {"value_loss", ValueLoss},
    {"preference_loss", PreferenceLoss},
    {"policy_loss", PolicyLoss},
    {"policy_loss_from_log_prob", PolicyLossFromLogProb},
};

int Run(const Operation& operation, int64_t calls, uint64_t seed) {
  int64_t served[POLKA_WORKSPACE + 1] = {};
  for (int64_t i = 0; i < calls; ++i) {
    Random random(seed * 1000003 + static_cast<uint64_t>(i));
    Memory memory(random);
    Arguments a(random, memory);
    // One that this machine lacks changes nothing.
    polka_force_target(random.Pick({POLKA_TARGET_SSE4, POLKA_TARGET_AVX2, POLKA_TARGET_AVX3}));
    served[Checked(operation.call(a), a)]++;
  }
  printf("%s: %lld calls, seed %llu: %lld served, %lld invalid, %lld out of range, %lld unavailable, %lld workspace\n",
         operation.name, static_cast<long long>(calls), static_cast<unsigned long long>(seed),
         static_cast<long long>(served[POLKA_OK]), static_cast<long long>(served[POLKA_INVALID_ARGUMENT]),
         static_cast<long long>(served[POLKA_OUT_OF_RANGE]), static_cast<long long>(served[POLKA_UNAVAILABLE]),
         static_cast<long long>(served[POLKA_WORKSPACE]));
  return 0;
}

}  // namespace
}  // namespace polka::fuzz

int main(int argc, char** argv) {
  using polka::fuzz::kOperations;
  if (argc == 2 && strcmp(argv[1], "--list") == 0) {
    for (const auto& operation : kOperations) puts(operation.name);
    return 0;
  }
  if (argc == 4) {
    for (const auto& operation : kOperations) {
      if (strcmp(operation.name, argv[1]) == 0) {
        return polka::fuzz::Run(operation, atoll(argv[2]), static_cast<uint64_t>(atoll(argv[3])));
      }
    }
  }
  fprintf(stderr, "use: polka_fuzz --list | polka_fuzz OPERATION CALLS SEED\n");
  return 2;
}
