// SPDX-License-Identifier: Apache-2.0
#include "tools/qemu_nbd/arguments.h"

#include <fmt/core.h>
#include <getopt.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

namespace mica {

namespace {

// Long options without a letter.
enum : int {
  kCache = 256,
  kAio,
  kDiscard,
  kDetectZeroes,
  kObject,
  kTlsCredentials,
  kTlsHostname,
  kTlsAuthorization,
  kImageOptions,
  kFork,
  kPidFile,
  kSelinuxLabel,
  kHandshakeLimit,
};

constexpr std::array kLongOptions = {
    option{"help", no_argument, nullptr, 'h'},
    option{"version", no_argument, nullptr, 'V'},
    option{"port", required_argument, nullptr, 'p'},
    option{"bind", required_argument, nullptr, 'b'},
    option{"socket", required_argument, nullptr, 'k'},
    option{"shared", required_argument, nullptr, 'e'},
    option{"persistent", no_argument, nullptr, 't'},
    option{"verbose", no_argument, nullptr, 'v'},
    option{"export-name", required_argument, nullptr, 'x'},
    option{"description", required_argument, nullptr, 'D'},
    option{"offset", required_argument, nullptr, 'o'},
    option{"allocation-depth", no_argument, nullptr, 'A'},
    option{"bitmap", required_argument, nullptr, 'B'},
    option{"list", no_argument, nullptr, 'L'},
    option{"trace", required_argument, nullptr, 'T'},
    option{"connect", required_argument, nullptr, 'c'},
    option{"disconnect", no_argument, nullptr, 'd'},
    option{"format", required_argument, nullptr, 'f'},
    option{"read-only", no_argument, nullptr, 'r'},
    option{"snapshot", no_argument, nullptr, 's'},
    option{"load-snapshot", required_argument, nullptr, 'l'},
    option{"nocache", no_argument, nullptr, 'n'},
    option{"cache", required_argument, nullptr, kCache},
    option{"aio", required_argument, nullptr, kAio},
    option{"discard", required_argument, nullptr, kDiscard},
    option{"detect-zeroes", required_argument, nullptr, kDetectZeroes},
    option{"object", required_argument, nullptr, kObject},
    option{"tls-creds", required_argument, nullptr, kTlsCredentials},
    option{"tls-hostname", required_argument, nullptr, kTlsHostname},
    option{"tls-authz", required_argument, nullptr, kTlsAuthorization},
    option{"image-opts", no_argument, nullptr, kImageOptions},
    option{"fork", no_argument, nullptr, kFork},
    option{"pid-file", required_argument, nullptr, kPidFile},
    option{"selinux-label", required_argument, nullptr, kSelinuxLabel},
    option{"handshake-limit", required_argument, nullptr, kHandshakeLimit},
    option{nullptr, 0, nullptr, 0}};

Error Bad(std::string message) {
  return Error{Errc::kInvalidArgument, std::move(message)};
}

Error NotHere(std::string_view option, std::string_view instead) {
  return Error{Errc::kUnsupported, fmt::format("{} is not supported; {}", option, instead)};
}

template <class T>
Result<T> ParseNumber(std::string_view text, std::string_view what) {
  T value{};
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc() || end != text.data() + text.size()) {
    return Bad(fmt::format("Invalid {} '{}'", what, text));
  }
  return value;
}

// A number of bytes, perhaps with k, M, G or T.
Result<uint64_t> ParseOffset(std::string_view text) {
  constexpr std::string_view kUnits = "bkMGT";
  unsigned shift = 0;
  if (!text.empty()) {
    const size_t unit = kUnits.find(text.back() == 'K' ? 'k' : text.back());
    if (unit != std::string_view::npos) {
      shift = static_cast<unsigned>(unit) * 10;
      text.remove_suffix(1);
    }
  }
  ASSIGN(const uint64_t number, ParseNumber<uint64_t>(text, "offset"));
  if (number > (uint64_t{INT64_MAX} >> shift)) return Bad("Invalid offset: too large");
  return number << shift;
}

Result<void> ExpectOneOf(std::string_view value, std::initializer_list<std::string_view> known,
                         std::string_view what) {
  if (std::ranges::find(known, value) != known.end()) return {};
  return Bad(fmt::format("Invalid {} `{}'", what, value));
}

// "snapshot.name=NAME" or a bare name.
Result<std::string> ParseSnapshot(std::string_view text) {
  constexpr std::string_view kName = "snapshot.name=";
  if (text.starts_with("snapshot.id=")) {
    return NotHere("--load-snapshot with an id", "name the snapshot instead");
  }
  return std::string(text.starts_with(kName) ? text.substr(kName.size()) : text);
}

// What there is nothing to do for, or nothing that could be done.
Result<void> RefuseOption(int letter) {
  switch (letter) {
    case 'T':
      return {};  // QEMU's own trace points: there are none here
    case 'c':
    case 'd':
      return NotHere("a kernel device", "attach with `nbd-client`");
    case kTlsHostname:
      return NotHere("--tls-hostname", "connect to the name in the certificate");
    case kSelinuxLabel:
      return NotHere("--selinux-label", "set the label in the policy");
    case kHandshakeLimit:
      return NotHere("--handshake-limit", "it is 10 s");
    case 's':
      return NotHere("--snapshot", "make a delta with `mica clone` and serve that");
    case kImageOptions:
      return NotHere("--image-opts", "give the file, and its format with -f");
    default:
      return NotHere("this option", "see --help");
  }
}

Result<void> TakeImageOption(int letter, const char* value, QemuNbdArguments& to) {
  switch (letter) {
    case 'f':
      to.format = value;
      return {};
    case 'r':
      to.read_only = true;
      return {};
    case 'o': {
      ASSIGN(to.offset, ParseOffset(value));
      return {};
    }
    case 'l': {
      ASSIGN(to.snapshot, ParseSnapshot(value));
      to.read_only = true;
      return {};
    }
    case 'n':  // The cache that counts is the guest's: flushes and FUA are always honoured.
      return {};
    case kCache:
      if (std::string_view(value) == "writethrough" || std::string_view(value) == "directsync") {
        return NotHere("--cache=writethrough", "clients say themselves what must be durable");
      }
      return ExpectOneOf(value, {"none", "off", "writeback", "unsafe"}, "cache mode");
    case kAio:
      return ExpectOneOf(value, {"threads", "native", "io_uring"}, "aio mode");
    case kDiscard:
      return ExpectOneOf(value, {"ignore", "off", "unmap", "on"}, "discard mode");
    case kDetectZeroes:
      return ExpectOneOf(value, {"off", "on", "unmap"}, "detect-zeroes mode");
    default:
      return RefuseOption(letter);
  }
}

Result<void> TakeOption(int letter, const char* value, QemuNbdArguments& to) {
  switch (letter) {
    case 'h':
      to.mode = QemuNbdMode::kHelp;
      return {};
    case 'V':
      to.mode = QemuNbdMode::kVersion;
      return {};
    case 'L':
      to.mode = QemuNbdMode::kList;
      return {};
    case 'p':
      TRY(ParseNumber<uint16_t>(value, "port number"));
      to.port = value;
      return {};
    case 'b':
      to.bind = value;
      return {};
    case 'k':
      if (value[0] != '/') return Bad("socket path must be absolute");
      to.socket = value;
      return {};
    case 'e': {
      ASSIGN(to.clients_max, ParseNumber<uint32_t>(value, "shared device number"));
      return {};
    }
    case 't':
      to.persistent = true;
      return {};
    case 'v':
      to.verbose = true;
      return {};
    case 'x':
      to.export_name = value;
      return {};
    case 'D':
      to.description = value;
      return {};
    case 'A':
      to.allocation_depth = true;
      return {};
    case 'B':
      to.bitmaps.emplace_back(value);
      return {};
    case kObject:
      to.objects.emplace_back(value);
      return {};
    case kTlsCredentials:
      to.tls_credentials = value;
      return {};
    case kTlsAuthorization:
      to.tls_authorization = value;
      return {};
    case kFork:
      to.fork = true;
      return {};
    case kPidFile:
      to.pid_file = value;
      return {};
    default:
      return TakeImageOption(letter, value, to);
  }
}

Result<void> CheckTogether(const QemuNbdArguments& arguments) {
  const bool tcp = arguments.bind || arguments.port;
  if (arguments.socket && tcp) {
    return Bad("Unix socket (-k) and TCP (-b, -p) exclude each other");
  }
  if (arguments.tls_authorization && !arguments.tls_credentials) {
    return Bad("--tls-authz is not permitted without --tls-creds");
  }
  if (arguments.mode == QemuNbdMode::kList) {
    if (!arguments.image.empty()) return Bad("List mode is incompatible with a file name");
    return {};
  }
  if (arguments.mode == QemuNbdMode::kServe && arguments.image.empty()) {
    return Bad("Invalid number of arguments: expected one image");
  }
  return {};
}

}  // namespace

Result<QemuNbdArguments> ParseQemuNbdArguments(int argc, char** argv) {
  QemuNbdArguments arguments;
  ::optind = 1;
  ::opterr = 1;  // getopt says itself what it does not know
  for (;;) {
    const int letter = ::getopt_long(argc, argv, "hVb:o:p:rsnc:dvk:e:f:tl:x:T:D:AB:L",
                                     kLongOptions.data(), nullptr);
    if (letter == -1) break;
    if (letter == '?') {
      return Bad(fmt::format("Try `{} --help' for more information.", argv[0]));
    }
    TRY(TakeOption(letter, ::optarg, arguments));
  }
  if (argc - ::optind > 1) return Bad("Invalid number of arguments: expected one image");
  if (::optind < argc) arguments.image = argv[::optind];
  TRY(CheckTogether(arguments));
  return arguments;
}

std::string QemuNbdHelp(const std::string& program) {
  return fmt::format(
      "Usage: {0} [OPTION]... FILE\n"
      "  or:  {0} -L [OPTION]...\n"
      "Serves one image over NBD with the command line of qemu-nbd, through mica's server.\n"
      "\n"
      "  -h, --help                 print this and leave\n"
      "  -V, --version              print the version and leave\n"
      "  -p, --port=PORT            TCP port (10809)\n"
      "  -b, --bind=ADDRESS         TCP address (0.0.0.0)\n"
      "  -k, --socket=PATH          unix socket instead of TCP\n"
      "  -e, --shared=NUM           clients at the same time (1; 0: any number); more wait\n"
      "  -t, --persistent           do not leave when the last client does\n"
      "  -v, --verbose              also report what clients are refused for\n"
      "  -x, --export-name=NAME     name of the export (empty)\n"
      "  -D, --description=TEXT     description of the export\n"
      "  -o, --offset=OFFSET        export from this byte on\n"
      "  -A, --allocation-depth     offer the context qemu:allocation-depth\n"
      "  -B, --bitmap=NAME          offer the context qemu:dirty-bitmap:NAME\n"
      "  -L, --list                 list the exports of another server\n"
      "      --object=TYPE,id=ID,…  tls-creds-x509 and tls-creds-psk (dir=, endpoint=,\n"
      "                             verify-peer=, username=), authz-simple (identity=)\n"
      "      --tls-creds=ID         require TLS with this object\n"
      "      --tls-authz=ID         and a client this object names\n"
      "      --fork                 leave once the server runs in the background\n"
      "      --pid-file=PATH        write the number of the server's process here\n"
      "  -f, --format=FORMAT        raw or mica\n"
      "  -r, --read-only            export read-only\n"
      "  -l, --load-snapshot=NAME   export a snapshot inside FILE, read-only\n"
      "  -n, --nocache, --cache=MODE, --aio=MODE, --discard=MODE, --detect-zeroes=MODE, --trace=…\n"
      "                             checked and otherwise ignored\n"
      "Refused: -c, -d, -s, --image-opts, --tls-hostname, --selinux-label, --handshake-limit,\n"
      "--cache=writethrough|directsync.\n",
      program);
}

}  // namespace mica
