// SPDX-License-Identifier: Apache-2.0
// The options, one handler each. A new one is a row of the table, a handler, and its tests.
#include "nbd/options.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <utility>

#include "nbd/payload_reader.h"

namespace mica::nbd {

namespace {

void AppendText(std::vector<std::byte>& to, std::string_view text) {
  const ConstBytes bytes = AsBytes(text);
  to.insert(to.end(), bytes.begin(), bytes.end());
}

template <class T>
void AppendNumber(std::vector<std::byte>& to, T value) {
  const size_t at = to.size();
  to.resize(at + sizeof(T));
  StoreBe(to, at, value);
}

// False, after an error reply, when the name is not one any export could have.
bool AcceptName(Negotiation& negotiation, std::string_view name) {
  if (name.size() > kStringBytesMax) {
    negotiation.Refuse(OptionReply::kErrTooBig, "the name is longer than 4096 bytes");
    return false;
  }
  if (name.find('\0') != std::string_view::npos) {
    negotiation.Refuse(OptionReply::kErrInvalid, "the name contains a NUL");
    return false;
  }
  return true;
}

// NBD_OPT_EXPORT_NAME: the old way in. It has no error reply.
Async<Next> HandleExportName(Negotiation& negotiation, ConstBytes payload) {
  const std::string_view name = AsText(payload);
  if (negotiation.FindExport(name) == nullptr) {
    co_return Error{Errc::kNotFound, "EXPORT_NAME of an export that this client cannot use"};
  }
  CO_ASSIGN(ExportLease target, negotiation.Acquire(name));
  const uint64_t size = target->device->info().size;
  negotiation.agreement.emplace(negotiation.Agree(std::move(target), name));
  std::vector<std::byte> answer;
  AppendNumber(answer, size);
  AppendNumber(answer, negotiation.agreement->flags);
  if ((negotiation.state().client_flags & kClientFlagNoZeroes) == 0) {
    answer.resize(answer.size() + kExportNameZeroes);
  }
  negotiation.Append(answer);
  co_return Next::kTransmit;
}

// NBD_OPT_ABORT: acknowledged even when it carries data.
Async<Next> HandleAbort(Negotiation& negotiation, ConstBytes) {
  negotiation.Acknowledge();
  co_return Next::kClose;
}

// NBD_OPT_STARTTLS
Async<Next> HandleStartTls(Negotiation& negotiation, ConstBytes) {
  if (negotiation.server().options.tls.mode == TlsMode::kOff) {
    negotiation.Refuse(OptionReply::kErrPolicy, "this server has no TLS");
    co_return Next::kContinue;
  }
  if (negotiation.state().peer.encrypted) {
    negotiation.Refuse(OptionReply::kErrInvalid, "the connection is encrypted already");
    co_return Next::kContinue;
  }
  negotiation.Acknowledge();
  co_return Next::kEncrypt;
}

// NBD_OPT_LIST
Async<Next> HandleList(Negotiation& negotiation, ConstBytes) {
  const ServerContext& server = negotiation.server();
  if (server.options.listing == NameListing::kHidden) {
    negotiation.Refuse(OptionReply::kErrPolicy, "this server does not list its exports");
    co_return Next::kContinue;
  }
  std::vector<std::byte> entry;
  size_t exports_listed = 0;
  for (const std::shared_ptr<ServedExport>& served : server.exports.All()) {
    const Export& listed = served->content;
    if (listed.listing == NameListing::kHidden || !negotiation.MayUse(listed)) continue;
    ++exports_listed;
    entry.clear();
    AppendNumber(entry, static_cast<uint32_t>(listed.name.size()));
    AppendText(entry, listed.name);
    AppendText(entry, listed.description);
    negotiation.Reply(OptionReply::kServer, entry);
    CO_TRY(co_await negotiation.FlushIfLong());
  }
  negotiation.state().exports_listed = exports_listed;
  negotiation.Acknowledge();
  co_return Next::kContinue;
}

struct InfoRequest {
  std::string_view name;
  std::vector<uint16_t> types;

  [[nodiscard]] bool Wants(InfoType type) const {
    return std::ranges::find(types, std::to_underlying(type)) != types.end();
  }
};

std::optional<InfoRequest> ParseInfoRequest(ConstBytes payload) {
  PayloadReader reader(payload);
  InfoRequest request;
  const std::optional<std::string_view> name = reader.Text();
  const std::optional<uint16_t> count = reader.Number<uint16_t>();
  if (!name || !count) return std::nullopt;
  request.name = *name;
  for (uint32_t i = 0; i < *count; ++i) {
    const std::optional<uint16_t> type = reader.Number<uint16_t>();
    if (!type) return std::nullopt;
    request.types.push_back(*type);  // unknown ones are ignored
  }
  if (!reader.empty()) return std::nullopt;
  return request;
}

// "Size constraints": powers of two, the minimum at most 64 KiB, the maximum a multiple of it.
void ReplyBlockSizes(Negotiation& negotiation, const DeviceInfo& device) {
  constexpr uint32_t kMinimumMax = 64u << 10;
  const uint32_t minimum =
      std::bit_ceil(std::clamp<uint32_t>(device.block_bytes_min, 1, kMinimumMax));
  const uint32_t preferred = std::bit_ceil(std::clamp<uint32_t>(
      device.block_bytes_preferred, std::max<uint32_t>(minimum, 512), kPayloadBytesAdvertised));
  std::vector<std::byte> info;
  AppendNumber(info, std::to_underlying(InfoType::kBlockSize));
  AppendNumber(info, minimum);
  AppendNumber(info, preferred);
  AppendNumber(info, kPayloadBytesAdvertised);
  negotiation.Reply(OptionReply::kInfo, info);
}

void ReplyText(Negotiation& negotiation, InfoType type, std::string_view text) {
  std::vector<std::byte> info;
  AppendNumber(info, std::to_underlying(type));
  AppendText(info, text);
  negotiation.Reply(OptionReply::kInfo, info);
}

void ReplyInfos(Negotiation& negotiation, const Export& target, const InfoRequest& request) {
  const DeviceInfo& device = target.device->info();
  std::vector<std::byte> info;
  AppendNumber(info, std::to_underlying(InfoType::kExport));
  AppendNumber(info, device.size);
  AppendNumber(info, negotiation.FlagsFor(target, request.name));
  negotiation.Reply(OptionReply::kInfo, info);
  if (request.Wants(InfoType::kName)) ReplyText(negotiation, InfoType::kName, target.name);
  if (request.Wants(InfoType::kDescription) && !target.description.empty()) {
    ReplyText(negotiation, InfoType::kDescription, target.description);
  }
  if (request.Wants(InfoType::kBlockSize)) ReplyBlockSizes(negotiation, device);
  negotiation.Acknowledge();
}

// NBD_OPT_INFO
Async<Next> HandleInfo(Negotiation& negotiation, ConstBytes payload) {
  const std::optional<InfoRequest> request = ParseInfoRequest(payload);
  if (!request) {
    negotiation.Refuse(OptionReply::kErrInvalid, "malformed information request");
  } else if (AcceptName(negotiation, request->name)) {
    const std::shared_ptr<const Export> target = negotiation.FindExport(request->name);
    if (target == nullptr) {
      negotiation.RefuseExport(request->name);
    } else {
      ReplyInfos(negotiation, *target, *request);
    }
  }
  co_return Next::kContinue;
}

// NBD_OPT_GO: the same answer as INFO, then transmission.
Async<Next> HandleGo(Negotiation& negotiation, ConstBytes payload) {
  const std::optional<InfoRequest> request = ParseInfoRequest(payload);
  if (!request || negotiation.FindExport(request->name) == nullptr) {
    co_return co_await HandleInfo(negotiation, payload);
  }
  Result<ExportLease> target = negotiation.Acquire(request->name);
  if (!target) {
    const ServerContext& server = negotiation.server();
    server.log.Write(Severity::kWarning, "refused: " + target.error().message);
    negotiation.Refuse(OptionReply::kErrPolicy, "too many connections to this export");
    co_return Next::kContinue;
  }
  ReplyInfos(negotiation, **target, *request);
  negotiation.agreement.emplace(negotiation.Agree(*std::move(target), request->name));
  co_return Next::kTransmit;
}

// Asking twice changes nothing, and the client is told so: QEMU does, and libnbd's tests want it.
void AgreeOnReplies(Negotiation& negotiation, ReplyStyle replies) {
  ReplyStyle& agreed = negotiation.state().replies;
  if (agreed == replies) {
    negotiation.Refuse(OptionReply::kErrInvalid, "this was agreed on before");
    return;
  }
  agreed = replies;
  negotiation.Acknowledge();
}

// NBD_OPT_STRUCTURED_REPLY
Async<Next> HandleStructuredReply(Negotiation& negotiation, ConstBytes) {
  AgreeOnReplies(negotiation, ReplyStyle::kStructured);
  co_return Next::kContinue;
}

// NBD_OPT_EXTENDED_HEADERS
Async<Next> HandleExtendedHeaders(Negotiation& negotiation, ConstBytes) {
  AgreeOnReplies(negotiation, ReplyStyle::kExtended);
  co_return Next::kContinue;
}

// Each is described in every BLOCK_STATUS.
constexpr size_t kSelectedContextsMax = 64;

struct ContextRequest {
  std::string_view export_name;
  std::vector<std::string_view> queries;
};

std::optional<ContextRequest> ParseContextRequest(ConstBytes payload) {
  PayloadReader reader(payload);
  ContextRequest request;
  const std::optional<std::string_view> name = reader.Text();
  const std::optional<uint32_t> count = reader.Number<uint32_t>();
  if (!name || !count) return std::nullopt;
  request.export_name = *name;
  for (uint32_t i = 0; i < *count; ++i) {
    const std::optional<std::string_view> query = reader.Text();
    if (!query) return std::nullopt;
    request.queries.push_back(*query);
  }
  if (!reader.empty()) return std::nullopt;
  return request;
}

// What LIST_META_CONTEXT and SET_META_CONTEXT share. Nothing, after an error reply, when the
// request is malformed or names no export.
std::optional<ContextRequest> AcceptContextRequest(Negotiation& negotiation, ConstBytes payload) {
  std::optional<ContextRequest> request = ParseContextRequest(payload);
  if (!request) {
    negotiation.Refuse(OptionReply::kErrInvalid, "malformed metadata context request");
    return std::nullopt;
  }
  if (!AcceptName(negotiation, request->export_name)) return std::nullopt;
  for (const std::string_view query : request->queries) {
    if (query.size() <= kStringBytesMax) continue;
    negotiation.Refuse(OptionReply::kErrTooBig, "a query is longer than 4096 bytes");
    return std::nullopt;
  }
  if (negotiation.FindExport(request->export_name) == nullptr) {
    negotiation.RefuseExport(request->export_name);
    return std::nullopt;
  }
  return request;
}

void ReplyContext(Negotiation& negotiation, const SelectedContext& selected) {
  std::vector<std::byte> entry;
  AppendNumber(entry, selected.id);
  AppendText(entry, selected.context->name());
  negotiation.Reply(OptionReply::kMetaContext, entry);
}

bool AnyMatches(const MetaContext& context, const ContextRequest& request, QueryKind kind) {
  return std::ranges::any_of(request.queries, [&](std::string_view query) {
    return Matches(context, query, kind);  // unknown namespaces match nothing, which is no error
  });
}

// NBD_OPT_LIST_META_CONTEXT
Async<Next> HandleListMetaContext(Negotiation& negotiation, ConstBytes payload) {
  const std::optional<ContextRequest> request = AcceptContextRequest(negotiation, payload);
  if (!request) co_return Next::kContinue;
  const std::shared_ptr<const Export> target = negotiation.FindExport(request->export_name);
  for (const auto& context : ContextsOf(*target)) {
    if (request->queries.empty() || AnyMatches(*context, *request, QueryKind::kList)) {
      ReplyContext(negotiation, {.context = context, .id = 0});  // the number is reserved here
      CO_TRY(co_await negotiation.FlushIfLong());
    }
  }
  negotiation.Acknowledge();
  co_return Next::kContinue;
}

// NBD_OPT_SET_META_CONTEXT: replaces what was selected before, even when it fails.
Async<Next> HandleSetMetaContext(Negotiation& negotiation, ConstBytes payload) {
  NegotiationState& state = negotiation.state();
  state.contexts.clear();
  const std::optional<ContextRequest> request = AcceptContextRequest(negotiation, payload);
  if (!request) co_return Next::kContinue;
  const std::shared_ptr<const Export> target = negotiation.FindExport(request->export_name);
  std::vector<SelectedContext> selected;
  uint32_t id = 0;
  for (const auto& context : ContextsOf(*target)) {
    ++id;
    if (!AnyMatches(*context, *request, QueryKind::kSelect)) continue;
    selected.push_back({.context = context, .id = id});
  }
  if (selected.size() > kSelectedContextsMax) {
    negotiation.Refuse(OptionReply::kErrTooBig, "more contexts than one connection can have");
    co_return Next::kContinue;
  }
  for (const SelectedContext& context : selected) {
    ReplyContext(negotiation, context);
    state.contexts.push_back({.name = std::string(context.context->name()), .id = context.id});
  }
  state.contexts_for = request->export_name;
  negotiation.Acknowledge();
  co_return Next::kContinue;
}

constexpr uint32_t kAnyPayload = Negotiation::kOptionPayloadMax;
constexpr std::array kOptions = {
    OptionRow{OptionCode::kExportName, "EXPORT_NAME", kStringBytesMax, Needs::kCompactHeaders,
              Failure::kDrop, Names::kWholePayload, HandleExportName},
    OptionRow{OptionCode::kAbort, "ABORT", kAnyPayload, Needs::kNothing, Failure::kReply,
              Names::kNothing, HandleAbort},
    OptionRow{OptionCode::kList, "LIST", 0, Needs::kNothing, Failure::kReply, Names::kNothing,
              HandleList},
    OptionRow{OptionCode::kStartTls, "STARTTLS", 0, Needs::kNothing, Failure::kReply,
              Names::kNothing, HandleStartTls},
    OptionRow{OptionCode::kInfo, "INFO", kAnyPayload, Needs::kNothing, Failure::kReply,
              Names::kFirstText, HandleInfo},
    OptionRow{OptionCode::kGo, "GO", kAnyPayload, Needs::kNothing, Failure::kReply,
              Names::kFirstText, HandleGo},
    OptionRow{OptionCode::kStructuredReply, "STRUCTURED_REPLY", 0, Needs::kCompactHeaders,
              Failure::kReply, Names::kNothing, HandleStructuredReply},
    OptionRow{OptionCode::kExtendedHeaders, "EXTENDED_HEADERS", 0, Needs::kNothing, Failure::kReply,
              Names::kNothing, HandleExtendedHeaders},
    OptionRow{OptionCode::kListMetaContext, "LIST_META_CONTEXT", kAnyPayload, Needs::kNothing,
              Failure::kReply, Names::kFirstText, HandleListMetaContext},
    OptionRow{OptionCode::kSetMetaContext, "SET_META_CONTEXT", kAnyPayload,
              Needs::kStructuredReplies, Failure::kReply, Names::kFirstText, HandleSetMetaContext},
};

}  // namespace

const OptionRow* FindOption(OptionCode code) noexcept {
  const auto* const found = std::ranges::find(kOptions, code, &OptionRow::code);
  return found == kOptions.end() ? nullptr : found;
}

}  // namespace mica::nbd
