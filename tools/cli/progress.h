// SPDX-License-Identifier: Apache-2.0
// Progress of a long verb on stderr: with -p a bar on a terminal, otherwise one line a second;
// without -p one line whenever the process gets SIGUSR1.
#pragma once

#include <string>

#include "tools/cli/progress_meter.h"

namespace mica {

enum class ProgressMode : uint8_t { kOnSignal, kShown };

// From here on SIGUSR1 asks for a line of progress instead of ending the program. Once, in main.
void InstallProgressSignal();

// Cheap to update: it looks at the clock and writes at most a few times a second. One thread. The
// bar's line is ended when the object goes.
class Progress {
 public:
  Progress(ProgressMode mode, std::string label, ProgressTotals goal);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  void SetGoal(ProgressTotals goal) { meter_.SetGoal(goal); }
  // Everything done so far.
  void Update(ProgressTotals done);
  // Everything that was to be done is done: shows the last state.
  void Finish(ProgressTotals done);

 private:
  void Show(ProgressMeter::Time now, ProgressTotals done);

  ProgressMode mode_;
  bool terminal_;
  bool bar_drawn_ = false;
  ProgressMeter::Time shown_at_;
  ProgressMeter meter_;
};

}  // namespace mica
