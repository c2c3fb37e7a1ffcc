// SPDX-License-Identifier: Apache-2.0
// LayerReads: what reads of a disk have taken from the file of one of its layers.
#pragma once

#include <memory>
#include <string>

#include "engine/base/counter.h"

namespace mica {

// Written on the loop of the disk, read on any thread. Disks that share parents share this.
struct LayerReads {
  explicit LayerReads(std::string file_path) : path(std::move(file_path)) {}
  const std::string path;
  Counter reads;  // pieces of requests that were stored in one place; zeroes are none
  Counter bytes;

  void Count(uint64_t read_bytes) noexcept {
    reads.Add(1);
    bytes.Add(read_bytes);
  }
};

}  // namespace mica
