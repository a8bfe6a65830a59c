/** Noise levels: which timesteps a sampler visits, how much noise there is at each, and how far a step goes. */

/** How many slopes a sampler looks back on. Euler is LMS with one. */
export const SAMPLERS = { lms: 4, euler: 1 };

/**
 * The schedule of Stable Diffusion v1: betas scaled linearly, timesteps spread evenly from the last to 0.
 * @param {number} steps from 1 to the number of training steps
 * @param {{ beta_start: number, beta_end: number, num_train_timesteps: number }} trained
 * @returns {{ timesteps: number[], sigmas: number[] }} (steps,) and (steps + 1,); sigma is the ratio of noise to signal
 */
export function schedule(steps, trained) {
  const most = trained.num_train_timesteps;
  if (!Number.isInteger(steps) || steps < 1 || steps > most) {
    throw new RangeError(`steps=${steps} must be a whole number from 1 to ${most}; 20 to 50 are usual.`);
  }
  const levels = trainedLevels(trained);
  const timesteps = Array.from({ length: steps }, (_, i) => (steps === 1 ? 0 : (most - 1) * (1 - i / (steps - 1))));
  const sigmas = timesteps.map((timestep) => between(levels, timestep));
  return { timesteps, sigmas: [...sigmas, 0] };
}

/**
 * Sigma at each training timestep, rounded where torch rounds: early on, the picture's share is so close to 1 that its
 * last bit shows.
 */
function trainedLevels({ beta_start, beta_end, num_train_timesteps: count }) {
  const round = Math.fround;
  const [first, last] = [round(Math.sqrt(beta_start)), round(Math.sqrt(beta_end))];
  const step = round((last - first) / (count - 1));
  let product = 1; // of 1 - beta so far: the picture's share of the variance
  return Array.from({ length: count }, (_, i) => {
    const root = round(i < count / 2 ? first + round(step * i) : last - round(step * (count - 1 - i)));
    product *= round(1 - round(root * root));
    const share = round(product);
    return round(Math.sqrt(round(round(1 - share) / share)));
  });
}

function between(values, place) {
  const low = Math.floor(place);
  const high = Math.min(low + 1, values.length - 1);
  return values[low] + (values[high] - values[low]) * (place - low);
}

/**
 * How much each of the last slopes counts in the step from sigmas[index] to the next: linear multistep.
 * @param {number[]} sigmas
 * @param {number} index of the step
 * @param {number} count of slopes there are, the newest first
 * @returns {number[]} (count,)
 */
export function slopeWeights(sigmas, index, count) {
  return Array.from({ length: count }, (_, which) => slopeWeight(sigmas, index, count, which));
}

/** The integral over the step of the polynomial that is 1 where slope `which` was taken and 0 where the others were. */
function slopeWeight(sigmas, index, count, which) {
  const here = sigmas[index - which];
  let polynomial = [1]; // coefficients, the constant first
  for (let other = 0; other < count; other++) {
    if (other !== which) polynomial = timesRoot(polynomial, sigmas[index - other], here - sigmas[index - other]);
  }
  const integral = (x) => polynomial.reduce((sum, factor, power) => sum + (factor * x ** (power + 1)) / (power + 1), 0);
  return integral(sigmas[index + 1]) - integral(sigmas[index]);
}

/** polynomial * (x - root) / divisor */
function timesRoot(polynomial, root, divisor) {
  const product = new Array(polynomial.length + 1).fill(0);
  polynomial.forEach((factor, power) => {
    product[power] -= (factor * root) / divisor;
    product[power + 1] += factor / divisor;
  });
  return product;
}
