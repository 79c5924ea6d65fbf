#include "tools/simulator/catalog.hpp"

#include "base/text.hpp"

#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <memory>
#include <set>

namespace gateway::tools::simulator {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t old_hash_offset = 0x100000;
constexpr std::size_t old_hash_bytes = 0x10000;
constexpr std::uint64_t largest_header = 100'000'000; // safetensors' own limit

class sha256 {
public:
    sha256() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free)
    {
        EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr);
    }
    void add(const char* data, std::size_t size) { EVP_DigestUpdate(context_.get(), data, size); }
    std::string hex()
    {
        std::array<unsigned char, 32> digest{};
        EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr);
        constexpr std::string_view digits = "0123456789abcdef";
        std::string out;
        for (const auto byte : digest) {
            out += digits[byte >> 4];
            out += digits[byte & 0xf];
        }
        return out;
    }

private:
    std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_;
};

std::string hash_range(const std::string& path, std::uint64_t from, std::uint64_t count)
{
    std::ifstream in(path, std::ios::binary);
    in.seekg(static_cast<std::streamoff>(from));
    sha256 digest;
    std::vector<char> block(1 << 20);
    while (in && count > 0) {
        in.read(block.data(),
                static_cast<std::streamsize>(std::min<std::uint64_t>(block.size(), count)));
        const auto got = static_cast<std::size_t>(in.gcount());
        digest.add(block.data(), got);
        count -= got;
    }
    return digest.hex();
}

struct header {
    std::uint64_t length = 0; // of the JSON text
    json::object content;
};

// The safetensors header; nothing when the file does not have a readable one.
std::optional<header> read_header(const std::string& path)
{
    std::ifstream in(path, std::ios::binary);
    std::array<unsigned char, 8> raw{};
    in.read(reinterpret_cast<char*>(raw.data()), raw.size());
    header out;
    for (std::size_t i = raw.size(); i-- > 0;)
        out.length = out.length << 8 | raw[i];
    if (!in || out.length > largest_header)
        return std::nullopt;
    std::string text(out.length, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (!in)
        return std::nullopt;
    auto parsed = parse_json(text);
    auto* value = std::get_if<json::value>(&parsed);
    if (value == nullptr || !value->is_object())
        return std::nullopt;
    out.content = std::move(value->get_object());
    return out;
}

// Every file below `folder` with one of the extensions, in the order of their lower-case names.
std::vector<model_file> walk(const fs::path& folder, const std::set<std::string>& extensions)
{
    std::vector<model_file> out;
    std::error_code ec;
    const auto options = fs::directory_options::follow_directory_symlink |
                         fs::directory_options::skip_permission_denied;
    for (fs::recursive_directory_iterator it(folder, options, ec), end; !ec && it != end;
         it.increment(ec)) {
        std::error_code ignored;
        if (!it->is_regular_file(ignored) ||
            !extensions.contains(to_lower(it->path().extension().string())))
            continue;
        model_file file;
        file.name = it->path().lexically_relative(folder).generic_string();
        file.path = fs::absolute(it->path(), ignored).string();
        file.bytes = it->file_size(ignored);
        file.modified = it->last_write_time(ignored).time_since_epoch().count();
        out.push_back(std::move(file));
    }
    std::sort(out.begin(), out.end(), [](const model_file& a, const model_file& b) {
        return std::pair(to_lower(a.name), a.name) < std::pair(to_lower(b.name), b.name);
    });
    return out;
}

bool is_vae(const model_file& file)
{
    return to_lower(file.name).find(".vae.") != std::string::npos;
}

json::object metadata_of(const std::string& path)
{
    json::object out;
    auto head = read_header(path);
    const auto* given = head ? head->content.if_contains("__metadata__") : nullptr;
    if (given == nullptr || !given->is_object())
        return out;
    for (const auto& [key, value] : given->get_object()) {
        const auto* text = value.if_string();
        auto parsed = text != nullptr && text->starts_with('{')
                          ? parse_json(std::string_view(*text))
                          : std::variant<json::value, json_decode_error, unreadable_body>(value);
        const auto* decoded = std::get_if<json::value>(&parsed);
        out[key] = decoded != nullptr ? *decoded : value;
    }
    return out;
}

} // namespace

model_folders::model_folders(const fs::path& root)
    : checkpoints(root / "Stable-diffusion"),
      loras(root / "Lora"),
      vaes(root / "VAE"),
      embeddings(root / "embeddings")
{
}

void model_folders::create() const
{
    for (const auto& folder : {checkpoints, loras, vaes, embeddings})
        fs::create_directories(folder);
}

std::string model_file::stem() const { return fs::path(name).stem().string(); }

std::string checkpoint::title() const
{
    return sha256.empty() ? name : name + " [" + short_hash() + "]";
}

std::vector<std::string> checkpoint::ids() const
{
    std::vector<std::string> out{old_hash, model_name, title(),
                                 name,     stem(),     name + " [" + old_hash + "]"};
    if (!sha256.empty()) {
        const auto bracket = " [" + short_hash() + "]";
        out.insert(out.end(), {short_hash(), sha256, name + bracket, stem() + bracket});
    }
    return out;
}

std::vector<checkpoint> scan_checkpoints(const model_folders& folders, bool with_gguf)
{
    std::set<std::string> extensions{".ckpt", ".safetensors"};
    if (with_gguf)
        extensions.insert(".gguf");
    std::vector<checkpoint> out;
    for (auto& file : walk(folders.checkpoints, extensions)) {
        if (is_vae(file))
            continue;
        checkpoint c;
        static_cast<model_file&>(c) = std::move(file);
        c.model_name = fs::path(c.name).replace_extension().generic_string();
        std::replace(c.model_name.begin(), c.model_name.end(), '/', '_');
        c.old_hash = hash_range(c.path, old_hash_offset, old_hash_bytes).substr(0, 8);
        const auto beside = fs::path(c.path).replace_extension(".yaml");
        if (fs::exists(beside))
            c.config = beside.string();
        out.push_back(std::move(c));
    }
    return out;
}

std::vector<network> scan_networks(const model_folders& folders)
{
    std::vector<network> out;
    for (auto& file : walk(folders.loras, {".pt", ".ckpt", ".safetensors"})) {
        network n;
        static_cast<model_file&>(n) = std::move(file);
        if (n.path.ends_with(".safetensors"))
            n.metadata = metadata_of(n.path);
        const auto* alias = n.metadata.if_contains("ss_output_name");
        n.alias =
            alias != nullptr && alias->is_string() ? std::string(alias->get_string()) : n.stem();
        out.push_back(std::move(n));
    }
    return out;
}

std::vector<model_file> scan_vaes(const model_folders& folders)
{
    const std::set<std::string> extensions{".pt", ".ckpt", ".safetensors"};
    auto out = walk(folders.checkpoints, extensions);
    std::erase_if(out, [](const model_file& f) { return !is_vae(f); });
    auto own = walk(folders.vaes, extensions);
    out.insert(out.end(), own.begin(), own.end());
    return out;
}

std::vector<model_file> scan_embeddings(const model_folders& folders)
{
    return walk(folders.embeddings, {".pt", ".bin", ".safetensors"});
}

std::string hash_file(const std::string& path, bool behind_header)
{
    std::uint64_t from = 0;
    if (behind_header && path.ends_with(".safetensors")) {
        if (const auto head = read_header(path))
            from = head->length + 8;
    }
    return hash_range(path, from, UINT64_MAX);
}

std::optional<python_error> load_failure(const std::string& path)
{
    std::error_code ec;
    const auto size = fs::file_size(path, ec);
    if (ec)
        return python_error("FileNotFoundError",
                            "No such file or directory: " + repr(std::string_view(path)));
    if (!path.ends_with(".safetensors"))
        return size > 0 ? std::nullopt
                        : std::optional<python_error>(python_error("EOFError", "Ran out of input"));
    const std::string prefix = "Error while deserializing header: ";
    if (size < 8)
        return python_error("SafetensorError", prefix + "HeaderTooSmall");
    const auto head = read_header(path);
    if (!head)
        return python_error("SafetensorError", prefix + "InvalidHeaderDeserialization");
    std::int64_t end = 0;
    for (const auto& [name, tensor] : head->content) {
        const auto* object = tensor.if_object();
        const auto* offsets = object != nullptr ? object->if_contains("data_offsets") : nullptr;
        const auto* pair = offsets != nullptr ? offsets->if_array() : nullptr;
        if (pair != nullptr && pair->size() == 2 && pair->back().is_int64())
            end = std::max(end, pair->back().get_int64());
    }
    if (size < 8 + head->length + static_cast<std::uint64_t>(end))
        return python_error("SafetensorError", prefix + "MetadataIncompleteBuffer");
    return std::nullopt;
}

void write_first_checkpoint(const model_folders& folders)
{
    constexpr std::size_t tensor_bytes = 4096;
    std::string text = R"({"__metadata__":{"format":"pt"},"first_stage_model.weight":)"
                       R"({"dtype":"F32","shape":[1024],"data_offsets":[0,4096]}})";
    text.resize((text.size() + 7) / 8 * 8, ' ');
    std::string bytes;
    for (int shift = 0; shift < 64; shift += 8)
        bytes += static_cast<char>(text.size() >> shift & 0xff);
    bytes += text + std::string(tensor_bytes, '\1');
    // A name that no list shows until the file is whole.
    // Other simulators may be doing the same in the same folder.
    const auto final_name = folders.checkpoints / "simulated-base.safetensors";
    const auto part = fs::path(final_name).concat(".part" + std::to_string(::getpid()));
    std::ofstream(part, std::ios::binary) << bytes;
    fs::rename(part, final_name);
}

// --- lists ---

void checkpoint_list::assign(std::vector<checkpoint> files)
{
    files_ = std::move(files);
    index();
}

void checkpoint_list::index()
{
    ids_.clear();
    for (std::size_t i = 0; i < files_.size(); ++i) {
        for (auto& id : files_[i].ids())
            ids_[std::move(id)] = i;
    }
}

const checkpoint* checkpoint_list::find(std::string_view id) const
{
    const auto it = ids_.find(id);
    return it == ids_.end() ? nullptr : &files_[it->second];
}

const checkpoint* checkpoint_list::find_fuzzy(std::string_view part) const
{
    if (part.empty())
        return nullptr;
    if (const auto* exact = find(part))
        return exact;
    const checkpoint* best = nullptr;
    for (const auto& c : files_) {
        const bool shorter = best == nullptr || c.title().size() < best->title().size();
        if (c.title().find(part) != std::string::npos && shorter)
            best = &c;
    }
    return best;
}

void checkpoint_list::learn_hash(std::string_view name, const std::string& sha256)
{
    for (auto& c : files_) {
        if (c.name == name)
            c.sha256 = sha256;
    }
    index();
}

void network_list::assign(std::vector<network> files)
{
    by_name_.clear();
    by_alias_.clear();
    for (auto& file : files) {
        const auto name = file.stem();
        auto [it, fresh] = by_alias_.try_emplace(file.alias, name);
        if (!fresh && it->second != name)
            it->second.clear();
        by_name_[name] = std::move(file);
    }
}

const network* network_list::find(std::string_view name) const
{
    if (const auto it = by_name_.find(std::string(name)); it != by_name_.end())
        return &it->second;
    const auto alias = by_alias_.find(name);
    if (alias == by_alias_.end() || alias->second.empty())
        return nullptr;
    return &by_name_.at(alias->second);
}

std::optional<std::string> hash_cache::find(const std::string& key, std::int64_t modified) const
{
    const auto it = entries_.find(key);
    if (it == entries_.end() || modified > it->second.modified)
        return std::nullopt;
    return it->second.sha256;
}

void hash_cache::put(const std::string& key, std::int64_t modified, std::string sha256)
{
    entries_[key] = {modified, std::move(sha256)};
}

} // namespace gateway::tools::simulator
