//! End-to-end tests: the real programs, an empty folder for each test.
//!
//! | module | shows that |
//! |---|---|
//! | `additions` | what is added to a finished study recomputes nothing that does not read it |
//! | `study` | a whole study runs, is found again, and has the same bytes on one thread and on two |
//! | `browser` | the report is sound in a real browser, on a desk and on a phone |
//! | `glyphs` | the visual world shows the effect in the direction that is known |
//! | `kills` | `kill -9` at any moment loses nothing and publishes nothing partial |
//! | `races` | two studies on one store at once compute each key once |
//! | `coarser_labels` | a model is scored on a split that knows fewer labels than it |
//! | `reliability` | what is needed is never deleted, what was changed is never used, what is not ours is not touched |
//! | `ratings` | labels that are numbers are scored by their correlation |
//! | `bad_input` | every way an input can lie has its own message and exit code |
//! | `docs` | links lead somewhere, and the page of flags is what the programs say |
//! | `decoders` | causal language models become classifiers and reward models |
//! | `fetch` | a hub that fails in every way costs nothing, and ladders that lie are refused |
//! | `import` | published accuracies become a page, and lists that contradict themselves are refused |
//! | `init` | a study that `samebasin init` writes runs to its end |
//! | `inputs` | files as people have them mean what they mean elsewhere |
//! | `lora` | a low-rank adaptation is a merged model, with the adapter beside it |
//! | `merges` | models are merged over the checkpoint that they began from |
//! | `minilm` | a published model computes what transformers computes, and is fine-tuned |
//! | `mnist` | a cue is planted in images, and MNIST shows the effect in the direction that is known |
//! | `mutations` | files that were changed at random are read or refused, and nothing else |
//! | `olah` | an independent mirror serves what `fetch` asks for |
//! | `plan` | the number of seeds of a plan is the textbook's, and a pilot is its tables |
//! | `published` | a study of published checkpoints goes from the hub to the report |
//! | `t5` | an encoder with a decoder is gauged, pretrained, fine-tuned and compared as the others are |
//! | `tables` | tables alone make the page, and the page that documents them is what the program prints |
//! | `command_line` | help, dry runs, exit codes and JSON are what scripts rely on |

mod harness;
#[path = "../crates/hub/tests/server/mod.rs"]
mod server;

mod additions;
mod bad_input;
mod browser;
mod coarser_labels;
mod command_line;
mod decoders;
mod devices;
mod docs;
mod fetch;
mod glyphs;
mod import;
mod init;
mod inputs;
mod kills;
mod lora;
mod merges;
mod minilm;
mod mnist;
mod mutations;
mod olah;
mod plan;
mod published;
mod races;
mod ratings;
mod reliability;
mod study;
mod t5;
mod tables;
