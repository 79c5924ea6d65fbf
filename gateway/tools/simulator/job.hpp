#pragma once

// One generation as it goes through the simulated WebUI. Private to the simulator's webui.

#include "net/stream.hpp"
#include "tools/simulator/fault_plan.hpp"
#include "tools/simulator/infotext.hpp"
#include "tools/simulator/python.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace gateway::tools::simulator {

struct job {
    bool is_img2img = false;
    json::object fields; // validated, in the order of the echo
    json::object echo;   // `parameters` of the reply
    std::string task_id;

    std::string prompt, negative_prompt;
    parsed_prompt tags;
    std::int64_t seed = 0, subseed = 0;
    int n_iter = 1, batch_size = 1, steps = 0;
    std::size_t width = 0, height = 0;             // of the pictures, floored to a multiple of 8
    std::size_t first_width = 0, first_height = 0; // of the first pass; the same without hires
    std::string sampler, scheduler;
    bool hires = false;

    json::object overrides;                               // without those that are dropped
    std::vector<std::pair<std::string, json::value>> old; // options to put back
    std::string loras;                                    // what the picture depends on
    std::string lora_hashes;                              // of the infotext
    std::string init_digest;                              // img2img: what the init image was

    std::vector<fault> faults;
    net::stream* connection = nullptr; // the client's, good until it has its answer
    bool cut = false;                  // the client never hears of it
    std::uint64_t logged = 0;          // its number in the run log
    int steps_done = 0;                // over all passes
    std::vector<std::string> images;   // PNG bytes
    std::vector<std::string> infotexts;
    bool has_grid = false; // the first image is all of them side by side
    std::string model, model_hash, vae, vae_hash, timestamp;
    int clip_skip = 1;

    double megapixels() const { return static_cast<double>(width * height) / 1e6; }
    double first_megapixels() const
    {
        return static_cast<double>(first_width * first_height) / 1e6;
    }
    const fault* struck_by(fault_kind kind) const
    {
        for (const auto& f : faults) {
            if (f.kind == kind)
                return &f;
        }
        return nullptr;
    }
    std::string text(std::string_view field) const
    {
        const auto& value = fields.at(field);
        return value.is_string() ? std::string(value.get_string()) : std::string();
    }
    std::int64_t integer(std::string_view field, std::int64_t otherwise = 0) const
    {
        const auto& value = fields.at(field);
        return value.is_int64() ? value.get_int64() : otherwise;
    }
    bool flag(std::string_view field) const
    {
        const auto& value = fields.at(field);
        return value.is_bool() && value.get_bool();
    }
};

// Latent modes and upscalers by name.
bool is_upscaler(std::string_view name);

// The request's denoising_strength; NaN when it is null.
double denoising(const job& j);

} // namespace gateway::tools::simulator
