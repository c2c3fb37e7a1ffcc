// SPDX-License-Identifier: Apache-2.0
#include "tools/copy_run.h"

namespace mica {

Async<CopyInputs> OpenInputs(Host& host, CopySource source) {
  CopyInputs inputs;
  OpenChainOptions open;
  open.format = source.format;
  CO_ASSIGN(inputs.source, co_await OpenChain(host, source.file, open));
  if (source.parent) {
    CO_ASSIGN(inputs.parent, co_await OpenParent(host, *source.parent, source.parent_format));
  }
  co_return inputs;
}

Async<void> CloseInputs(CopyInputs& inputs) {
  CO_TRY(co_await inputs.source->Close());
  if (inputs.parent.chain) CO_TRY(co_await inputs.parent.chain->Close());
  co_return Result<void>();
}

Async<CopyTotals> RunCopy(Context& context, std::string label, const CopyInputs& inputs,
                          BlockDevice& target) {
  ProgressTotals goal;
  goal.bytes = inputs.source->info().size;
  Progress progress(context.progress, label, goal);
  CopyOptions job;
  job.baseline = inputs.baseline();
  job.on_progress = [&progress](const CopyTotals& totals) {
    progress.Update({.bytes = totals.examined_bytes});
  };
  const Result<CopyTotals> totals = co_await Copy(context.loop, *inputs.source, target, job);
  if (totals) progress.Finish({.bytes = totals->examined_bytes});
  co_return totals;
}

}  // namespace mica
