// SPDX-License-Identifier: Apache-2.0
#include "formats/registry.h"

#include <fmt/format.h>

#include <array>
#include <string>

#include "engine/base/aligned_buffer.h"
#include "formats/mica/mica_format.h"
#include "formats/raw/raw_format.h"

namespace mica {

namespace {

const MicaFormat kMica;
const RawFormat kRaw;

// Raw claims nothing, so it comes last and takes what is left.
constexpr std::array<const ImageFormat*, 2> kFormats = {&kMica, &kRaw};

std::string KnownNames() {
  std::string names;
  for (const ImageFormat* format : kFormats) {
    if (!names.empty()) names += ", ";
    names += format->name();
  }
  return names;
}

}  // namespace

std::span<const ImageFormat* const> AllFormats() noexcept {
  return kFormats;
}

Result<const ImageFormat*> FindFormat(std::string_view name) {
  for (const ImageFormat* format : kFormats) {
    if (format->name() == name) return format;
  }
  return Error{Errc::kUnsupported,
               fmt::format("unknown image format '{}'; known are: {}", name, KnownNames())};
}

Async<const ImageFormat*> ProbeFormat(Host& host, const std::filesystem::path& path) {
  const OpenOptions options;
  CO_ASSIGN(const std::unique_ptr<BlockFile> file, co_await host.Open(path, options));
  CO_ASSIGN(const uint64_t size, co_await file->Size());
  AlignedBuffer head(ImageFormat::kProbeBytes);
  FillZero(head.span());
  CO_TRY(co_await file->Read(0, head.span()));
  const size_t head_bytes = std::min<uint64_t>(size, head.size());
  for (const ImageFormat* format : kFormats) {
    if (format->Probe(head.span().first(head_bytes))) co_return format;
  }
  const ImageFormat* const raw = &kRaw;
  co_return raw;
}

}  // namespace mica
