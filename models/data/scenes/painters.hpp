#pragma once
// One painter per class of scene, and what all pictures share.

#include <string>
#include <vector>

#include "models/data/scenes/canvas.hpp"

namespace millrace::scenes {

/// Colours, light and sizes that one picture's parts share.
struct Mood {
  Colour back, other_back;         ///< the background runs from one to the other
  std::vector<Colour> inks;        ///< of things; each contrasts with the background
  float light_x = 0, light_y = 0;  ///< towards the light, a unit vector in the picture
  float scale = 1;                 ///< of the things: 0.7..1.4
  std::uint32_t seed = 0;          ///< of noise
};

Mood make_mood(Draws& draws);

using Painter = void (*)(Canvas& canvas, const Mood& mood, Draws& draws);

// Things in front of a background.
void paint_balls(Canvas& canvas, const Mood& mood, Draws& draws);
void paint_branches(Canvas& canvas, const Mood& mood, Draws& draws);
void paint_buildings(Canvas& canvas, const Mood& mood, Draws& draws);
void paint_fence(Canvas& canvas, const Mood& mood, Draws& draws);
void paint_flowers(Canvas& canvas, const Mood& mood, Draws& draws);

// Surfaces that fill the picture.
void paint_bricks(Canvas& canvas, const Mood& mood, Draws& draws);
void paint_clouds(Canvas& canvas, const Mood& mood, Draws& draws);
void paint_hills(Canvas& canvas, const Mood& mood, Draws& draws);
void paint_ripples(Canvas& canvas, const Mood& mood, Draws& draws);
void paint_tiles(Canvas& canvas, const Mood& mood, Draws& draws);

/// A gradient with soft patches.
void paint_background(Canvas& canvas, const Mood& mood, Draws& draws);
/// Small lines, discs and bars of any colour over the picture, the same kinds for every class.
void paint_clutter(Canvas& canvas, Draws& draws);
/// Exposure, slanting light, dark corners, colour cast, defocus and grain; to 8 bits.
Image develop(const Canvas& canvas, Draws& draws);

struct Scene {
  std::string name;
  Painter painter;
};

/// Alphabetical.
const std::vector<Scene>& all();

/// Picture `number` of class `label`: about 500 x 375, one in four upright.
Image paint(std::size_t label, std::int64_t number, std::uint64_t seed);

}  // namespace millrace::scenes
