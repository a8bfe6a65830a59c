"""Stage 4, the denoiser: a U-Net that predicts the noise in latents, and the text encoder that tells it what they show.

Both learn. So did the text encoder of the first latent diffusion models (Rombach et al. 2022); Stable Diffusion's is CLIP's,
frozen. CLIP saw hundreds of millions of pictures, and knows words well enough for that; ours saw a thousand, and does not.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, LMSDiscreteScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from diffusers.training_utils import EMAModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPModel, CLIPTokenizer

from sd_helpers.models import EMBEDDED_FOLDER

from .captions import with_article
from .clip import WIDTH, Pairs, packaged
from .data import BACKGROUND_NAMES, COLOURS, HeldOut, Icons, concept_set
from .fit import fit
from .looking import Looks, Watched, looks_of
from .pool import Pool
from .presets import Preset, Stage
from .scenes import Said, Scene, Scenes, Thing
from .teacher import Teacher, Truth

SCHEDULE = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000, steps_offset=1)
EMPTY_CAPTIONS = 0.1  # what classifier-free guidance needs
FALSE_CAPTIONS = 0.12  # are another picture's, as captions from the web often are: guidance then has something to make up for

LOOKING = 1.0  # how much it counts where words look, beside how well noise is predicted


@dataclass(frozen=True)
class Mix:
    """What the steps show, in shares of 0 to 1."""

    wide: float  # of all steps show a wide canvas, half as many pictures
    joined: float  # of these steps: put together from single things, with fewer surprises than scenes hold
    pairs: float  # of what is put together: two things; the rest is one thing in its half
    scenes: float  # of the square pictures; the others show one thing in the middle
    styled: float  # of the captions of one thing in the middle name a style


SIDES_FIRST = Mix(wide=0.45, joined=1.0, pairs=0.7, scenes=0.0, styled=0.6)  # teaches what "left" is, see README.md
THEN_ALL = Mix(wide=0.38, joined=0.65, pairs=0.7, scenes=0.32, styled=0.65)
SIDES = 1 / 3  # of the steps belong to the first


def mix_at(done: float) -> Mix:
    """What is shown when a share of `done` of the steps lies behind."""
    return SIDES_FIRST if done < SIDES else THEN_ALL


def build(preset: Preset) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=preset.size // preset.factor, block_out_channels=(64, 128, 192), layers_per_block=1,
        cross_attention_dim=WIDTH, attention_head_dim=4,
        down_block_types=["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        up_block_types=["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    )  # fmt: skip


@dataclass(frozen=True)
class Step:
    """What one training step sees."""

    latents: torch.Tensor  # (B, 4, h, w)
    noise: torch.Tensor
    timesteps: torch.Tensor  # (B,)
    input_ids: torch.Tensor  # (B, 77)
    looks: Looks | None = None
    truth: Truth | None = None  # of what a teacher knows


class NoisePrediction(nn.Module):
    """The loss of a diffusion model: mix in noise, predict it, square the difference, weigh it by the level.

    To that comes by how much words miss what they should look at; and what a teacher knows, it says in the noise's place.
    """

    def __init__(self, unet, text_encoder, teacher: Teacher | None = None):
        super().__init__()
        self.unet, self.text_encoder, self.teacher, self.watched = unet, text_encoder, teacher, Watched(unet)
        self.register_buffer("alphas_cumprod", LMSDiscreteScheduler(**SCHEDULE).alphas_cumprod, persistent=False)

    def noisy(self, latents, noise, timesteps):
        alpha = self.alphas_cumprod[timesteps][:, None, None, None]
        return alpha.sqrt() * latents + (1 - alpha).sqrt() * noise

    def forward(self, step: Step):
        self.watched.maps.clear()
        noisy, target = self.noisy(step.latents, step.noise, step.timesteps), step.noise
        if self.teacher and step.truth:
            target = self.teacher.target(noisy, step.noise, step.timesteps, step.truth)
        prompt_embeds = self.text_encoder(input_ids=step.input_ids).last_hidden_state
        predicted = self.unet(noisy, step.timesteps, prompt_embeds).sample
        errors = F.mse_loss(predicted.float(), target, reduction="none").mean(dim=(1, 2, 3))
        loss = (level_weights(self.alphas_cumprod[step.timesteps]) * errors).mean()
        return loss + LOOKING * step.looks.missed(self.watched.maps, len(noisy)) if step.looks else loss


def level_weights(alphas_cumprod: torch.Tensor) -> torch.Tensor:
    """How much a level counts: 1 / sqrt(SNR), from a half to six (Yu et al. 2024, *Unmasking Bias in Diffusion Model Training*).

    Unweighted, the levels near pure noise, where it is decided what stands where, make up a hundredth of the loss: their noise
    is easy to predict, since it is nearly the input. With these weights nearly all levels count about the same.
    """
    return ((1 - alphas_cumprod) / alphas_cumprod).sqrt().clamp(min=0.5, max=6)


@torch.no_grad()
def cache_latents(vae, icons: Icons, variants: int):
    """Latents of every icon on every background: (icons, backgrounds, variants, 4, h, w); variant 0 stands unshifted."""
    generator = torch.Generator().manual_seed(0)
    reach, rows = max(1, icons.size // 32), []
    for i in range(len(icons)):
        shift = torch.randint(-reach, reach + 1, (len(COLOURS), variants, 2), generator=generator)
        shift[:, 0] = 0
        colours = COLOURS.repeat_interleave(variants, dim=0)
        index = torch.full((len(colours),), i)
        pictures = icons.compose(*(x.to(icons.device) for x in (index, colours, shift.flatten(0, 1))))
        with torch.autocast(str(icons.device).split(":")[0], torch.bfloat16):  # a third of the time, to a hundredth of the spread
            latents = vae.encode(pictures).latent_dist.mean.float() * vae.config.scaling_factor
        rows.append(latents.unflatten(0, (len(COLOURS), variants)))
    return torch.stack(rows)


def draw_timesteps(count: int, generator, places: bool = False):
    """Half of them uniform, half logistic-normal around t = 770, where the layout and the background are decided.

    With `places`, for scenes of which it is to be learned what stands where, a fifth and four fifths around t = 860.
    """
    uniform = torch.rand(count, generator=generator)
    noisy = torch.sigmoid(torch.randn(count, generator=generator) + (1.8 if places else 1.2))
    chosen = torch.where(torch.rand(count, generator=generator) < (0.2 if places else 0.5), uniform, noisy)
    return (chosen * 1000).long().clamp(0, 999)


def shared(values: torch.Tensor, begin: int) -> torch.Tensor:
    """The same, but from `begin` on the second of each two has what the first has.

    Two scenes with their things exchanged then differ in nothing that the network sees but the order of words, and all of its
    error that has other reasons is alike in both.
    """
    values = values.clone()
    values[begin + 1 :: 2] = values[begin : len(values) - 1 : 2]
    return values


class Batches:
    """What one training step sees: latents, noise, timesteps and the ids of captions."""

    def __init__(self, preset: Preset, work: Path, device: str):
        icons = Icons(work, preset.size, concept_set(preset.concepts), device=device)
        self.pairs, self.device, self.variants = Pairs(icons, HeldOut(), preset.further), device, preset.variants
        self.taught = preset.further  # by what is in the package
        self.tokenizer = CLIPTokenizer.from_pretrained(work / "tokenizer")
        vae = AutoencoderKL.from_pretrained(work / "vae").to(device).eval()
        kept = work / f"latents-{len(icons)}x{preset.variants}.safetensors"  # some minutes on a CPU
        if not kept.exists():
            save_file({"latents": cache_latents(vae, icons, preset.variants).cpu().half().contiguous()}, kept)
        self.latents = load_file(kept)["latents"].float().to(device)
        with torch.no_grad():
            plain = COLOURS[:, :, None, None].expand(-1, -1, preset.size, preset.size).to(device)
            self.grounds = vae.encode(plain).latent_dist.mean.float() * vae.config.scaling_factor  # (backgrounds, 4, h, w)
        self.square, self.wide = (
            Pool(Scenes(icons, HeldOut()), vae, preset.scenes, wide, work, device) for wide in (False, True)
        )
        print(f"denoiser: {len(icons)} icons, {self.latents.numel() * 4 / 1e6:.0f} MB of latents cached", flush=True)

    def draw(self, count: int, generator, mix: Mix = THEN_ALL) -> Step:
        rng = random.Random(int(torch.randint(2**62, (1,), generator=generator)))
        is_wide, truths = rng.random() < mix.wide, []
        if is_wide and rng.random() < mix.joined:
            alone = 0
            latents, captions, truths = self.joined(count // 4, rng, mix.pairs)
        elif is_wide:
            alone = 0
            latents, captions = self.pooled(count // 2, rng)
        else:
            alone = count - round(count * mix.scenes)
            index, background, captions = self.pairs.draw(alone, rng, styled=mix.styled)
            variant = torch.randint(self.variants, (alone,), generator=generator).to(self.device)
            positions, said = self.square.draw(count - alone, rng)
            latents = torch.cat([self.latents[index, background, variant], self.square.latents[positions].float()])
            truths = [(row, 0, self.truth(icon, ground)) for row, (icon, ground) in enumerate(zip(index, background))]
            captions = [Said(caption) for caption in captions] + said
        captions = loosened(captions, rng)
        noise = shared(torch.randn(latents.shape, generator=generator), alone).to(self.device)
        timesteps = shared(draw_timesteps(len(latents), generator, places=is_wide), alone).to(self.device)
        looks = looks_of(captions, self.tokenizer, *latents.shape[-2:])
        input_ids = self.ids([caption.text for caption in captions])
        return Step(latents, noise, timesteps, input_ids, looks and looks.to(self.device), self.known(truths))

    def pooled(self, count: int, rng: random.Random):
        """Latents of wide scenes, (count, 4, h, 2 w), and captions."""
        positions, captions = self.wide.draw(count, rng)
        return self.wide.latents[positions].float(), captions

    def joined(self, couples: int, rng: random.Random, pairs: float):
        """Wide latents (2 * couples, 4, h, 2 w), each followed by the same with its halves exchanged, captions, and (row, half,
        caption) of each thing.

        They are joined of two single things on one ground, a share of `pairs`, or of one and the bare ground.
        """
        scenes, latents, captions, truths = self.wide.describe, [], [], []
        while len(latents) < 2 * couples:
            (icon,), (ground,), _ = self.pairs.draw(1, rng)
            other = scenes.companion(icon, BACKGROUND_NAMES[ground], rng) if rng.random() < pairs else None
            halves = [(i, self.half(i, ground, rng)) for i in (icon, other)]
            for order in (halves, halves[::-1]):
                things = tuple(Thing(i, x=0.5 + place) for place, (i, _) in enumerate(order) if i is not None)
                scene = Scene("pair" if len(things) == 2 else "placed", things, BACKGROUND_NAMES[ground], wide=True)
                truths += [(len(latents), half, self.truth(i, ground)) for half, (i, _) in enumerate(order) if i is not None]
                latents.append(torch.cat([half for _, half in order], dim=-1))
                captions.append(scenes.said(scene, rng))
        return torch.stack(latents), captions, truths

    def half(self, icon: int | None, ground: int, rng: random.Random):
        """Latents of an icon on its ground, or of the bare ground, (4, h, w)."""
        return self.grounds[ground] if icon is None else self.latents[icon, ground, rng.randrange(self.variants)]

    def truth(self, icon: int, ground: int) -> str:
        """A caption that leaves nothing out."""
        name = self.pairs.icons.names[icon]
        return f"{with_article(name['style'] + ' ' + name['label'])} on {with_article(BACKGROUND_NAMES[ground])} background"

    def known(self, truths: list[tuple[int, int, str]]) -> Truth | None:
        """What a teacher is told, of (row, half, caption); None if there is none, or it knows nothing of these pictures."""
        if not truths or not self.taught:
            return None
        rows, halves, captions = zip(*truths)
        return Truth(list(rows), list(halves), self.ids([*captions, ""]))

    def ids(self, captions: list[str]):
        ids = self.tokenizer(captions, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        return ids.to(self.device)


def loosened(captions: list[Said], rng: random.Random) -> list[Said]:
    """The captions, some of them empty and some another's: neither says where to look."""
    changed = []
    for caption in captions:
        chance = rng.random()
        is_false = EMPTY_CAPTIONS <= chance < EMPTY_CAPTIONS + FALSE_CAPTIONS
        changed.append(Said("") if chance < EMPTY_CAPTIONS else Said(rng.choice(captions).text) if is_false else caption)
    return changed


def fit_averaged(module: NoisePrediction, loss_of, stage: Stage, name: str, preset: Preset, work: Path, device: str):
    """Train as `fit` does and return the module with its averaged weights; ten of them on the way go to a curve folder."""
    if device == "cpu":  # the fused attention's backward pass takes a third of the time there; the plain one a tenth
        module.unet.set_attn_processor(AttnProcessor())
        module.text_encoder.set_attn_implementation("eager")
    ema = EMAModel(module.parameters(), decay=0.9995, use_ema_warmup=True, power=0.8, foreach=True)
    names = [name for name, _ in module.named_parameters()]
    curve = work / f"{name}{preset.suffix}-curve"

    def snapshot(step):
        curve.mkdir(exist_ok=True)
        averaged = {name: value.half().cpu().contiguous() for name, value in zip(names, ema.shadow_params, strict=True)}
        save_file(averaged, curve / f"{step:07d}.safetensors")

    options = dict(precision=preset.precision, ema=ema, snapshot=snapshot)
    trained = fit(module, loss_of, stage, work / f"{name}{preset.suffix}", **options)
    ema.copy_to(trained.parameters())
    return trained


def train(preset: Preset, work: Path, device: str) -> None:
    batches = Batches(preset, work, device)

    def loss_of(module, count, generator, done):
        return module(batches.draw(count, generator, mix_at(done)))

    torch.manual_seed(0)
    unet, teacher, clip = build(preset), None, packaged() if preset.further else CLIPModel.from_pretrained(work / "clip")
    if preset.further:
        start = UNet2DConditionModel.from_pretrained(EMBEDDED_FOLDER / "unet", torch_dtype=torch.float32)
        unet.load_state_dict(start.state_dict())
        teacher = Teacher(unet, clip.text_model)
        wake_unseen_tokens(clip)
    module = NoisePrediction(unet, clip.text_model, teacher)
    trained = fit_averaged(module, loss_of, preset.denoiser, "denoiser", preset, work, device)
    trained.unet.save_pretrained(work / "unet")
    clip.text_model = trained.text_encoder
    clip.save_pretrained(work / "clip-drawing")


@torch.no_grad()
def wake_unseen_tokens(clip: CLIPModel) -> None:
    """Words that the package has never read begin somewhere, each elsewhere; packaging sets to zero what no caption held."""
    table = clip.text_model.get_input_embeddings().weight
    unseen = table.abs().sum(dim=1) == 0
    table[unseen] = torch.randn(int(unseen.sum()), table.shape[1]) * table[~unseen].std()
