// divergence and topk_divergence with random and hostile arguments.
#include "fuzz_call.h"

namespace polka::fuzz {

polka_status Divergence(Arguments& a) {
  polka_divergence_args args = {};
  args.struct_size = a.StructSize(sizeof args);
  args.exec = a.Exec();
  args.student = a.Matrix();
  args.teacher = a.Matrix();
  args.student_softmax = a.Softmax();
  args.teacher_softmax = a.Softmax();
  args.teacher_softmax.valid_vocab = a.Field(args.student_softmax.valid_vocab, {INT64_C(0), INT64_C(1)});
  args.mask = a.Mask();
  args.row_weight = a.MaybeRowFloats();
  for (uint64_t* output : {&args.value, &args.student_entropy, &args.student_lse, &args.teacher_lse}) {
    *output = a.RowOutput();
  }
  args.loss = a.memory.MaybeOutput(8);
  if (!a.random.OneIn(3)) args.d_student = MaybeGradient(a, args.student);
  args.divisor = a.Field(3.0, {0.0, -1.0});
  args.gradient_scale = a.Field(1.0f, {0.0f, -2.0f});
  args.beta = a.Field(0.5f, {0.0f, 1.0f, -1.0f});
  args.kind = a.Field(static_cast<int32_t>(a.random.Below(9)), {-1, 9, 99});
  args.alpha = a.Field(0.5f, {0.0f, 1.0f, -2.0f});
  args.common_prefix = a.Field(static_cast<int32_t>(a.random.Below(2)), {-1, 2});
  const int64_t form = a.random.Below(4);
  if (form == 0) {
    args.reference = a.Matrix();
    args.lambda = a.Field(1.5f, {0.0f, 1.0f, -3.0f});
  }
  if (form == 1) {
    args.teacher_form = a.Field(POLKA_LOG_WEIGHTS, {-1, 2});
    args.teacher_softmax.row_temperature = 0;
    args.teacher_softmax.temperature = a.Field(1.0f, {2.0f});
    args.teacher_softmax.softcap = a.Field(0.0f, {3.0f});
  }
  AskWorkspace(polka_divergence_workspace, &args, a);
  return polka_divergence(a.Field(&args, {nullptr}));
}

polka_status TopkDivergence(Arguments& a) {
  polka_topk_divergence_args args = {};
  args.struct_size = a.StructSize(sizeof args);
  args.exec = a.Exec();
  args.student = a.Matrix();
  args.softmax = a.Softmax();
  const int64_t valid = args.softmax.valid_vocab, columns = valid > 0 && valid < a.cols ? valid : a.cols;
  const int64_t entries = 1 + a.random.Below(columns < 3 ? (columns < 1 ? 1 : columns) : 3);
  args.ids_dtype = a.random.OneIn(2) ? POLKA_I64 : POLKA_I32;
  const int64_t count = (a.rows + 1) * (entries + 1);
  args.teacher_ids = a.memory.Input(count * 8);
  args.teacher_log_prob = a.memory.Input(count * 4);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t id = a.Field(i % entries, {INT64_C(-1), INT64_C(1) << 20});
    if (args.ids_dtype == POLKA_I64) {
      reinterpret_cast<int64_t*>(args.teacher_ids)[i] = id;
    } else {
      reinterpret_cast<int32_t*>(args.teacher_ids)[i] = static_cast<int32_t>(id);
    }
    reinterpret_cast<float*>(args.teacher_log_prob)[i] = a.Field(-1.5f, {a.random.Value()});
  }
  args.entries = a.Field(entries, {INT64_C(0), INT64_C(-1), INT64_C(513), INT64_MAX});
  args.mask = a.Mask();
  args.row_weight = a.MaybeRowFloats();
  for (uint64_t* output :
       {&args.value, &args.student_entropy, &args.student_lse, &args.student_mass, &args.teacher_mass, &args.overlap}) {
    *output = a.RowOutput();
  }
  args.loss = a.memory.MaybeOutput(8);
  if (!a.random.OneIn(3)) args.d_student = MaybeGradient(a, args.student);
  args.divisor = a.Field(3.0, {0.0, -1.0});
  args.gradient_scale = a.Field(1.0f, {0.0f, -2.0f});
  args.beta = a.Field(0.5f, {0.0f, 1.0f});
  args.alpha = a.Field(0.5f, {0.0f, 1.0f});
  args.kind = a.Field(static_cast<int32_t>(a.random.Below(9)), {-1, 9});
  args.tail = a.Field(static_cast<int32_t>(a.random.Below(3)), {-1, 3});
  AskWorkspace(polka_topk_divergence_workspace, &args, a);
  return polka_topk_divergence(a.Field(&args, {nullptr}));
}

polka_status VocabLogProb(Arguments& a) {
  polka_vocab_log_prob_args args = {};
  args.struct_size = a.StructSize(sizeof args);
  args.exec = a.Exec();
  args.logits = a.Matrix();
  args.targets = a.Targets();
  args.softmax = a.Softmax();
  args.vocabulary = a.Field(a.cols, {INT64_C(0), INT64_C(-1), INT64_MIN, INT64_MAX});
  args.first_column = a.Field(INT64_C(0), {INT64_C(1), INT64_C(-1), INT64_MIN, INT64_MAX});
  args.statistics = a.memory.Output((a.rows + 1) * POLKA_SHARD_STATISTICS * 4);
  const polka_status status = polka_vocab_log_prob_statistics(a.Field(&args, {nullptr}));
  if (status != POLKA_OK) return status;
  args.shards = a.Field(INT64_C(1), {INT64_C(0), INT64_C(-1), INT64_MAX});
  for (uint64_t* output : {&args.log_prob, &args.max, &args.log_sum, &args.lse, &args.entropy}) {
    *output = a.memory.Output((a.rows + 1) * 4);
  }
  // Where the shard is cut below a target, no shard has it.
  const polka_status merged = polka_vocab_log_prob_merge(&args);
  if (merged != POLKA_OK) return POLKA_OK;
  args.d_log_prob = a.MaybeRowFloats();
  args.d_entropy = a.MaybeRowFloats();
  args.d_logits = MaybeGradient(a, args.logits);
  args.gradient_scale = a.Field(1.0f, {0.0f, -2.0f});
  polka_vocab_log_prob_backward(&args);
  return POLKA_OK;
}

}  // namespace polka::fuzz
