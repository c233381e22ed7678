import type * as Everything from 'class-validator';
import type { ValidatorOptions } from 'class-validator';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** A member of class-validator by its file: its entry loads 320, with every country's telephone numbers. */
function only<Name extends keyof typeof Everything>(name: Name, folder: string, file: string = name) {
  return (require(`class-validator/cjs/${folder}/${file}.js`) as typeof Everything)[name];
}

export const IsDefined = only('IsDefined', 'decorator/common');
export const IsIn = only('IsIn', 'decorator/common');
export const IsInt = only('IsInt', 'decorator/typechecker');
export const IsNotEmpty = only('IsNotEmpty', 'decorator/common');
export const IsString = only('IsString', 'decorator/typechecker');
export const Matches = only('Matches', 'decorator/string');
export const Max = only('Max', 'decorator/number');
export const Min = only('Min', 'decorator/number');
export const ValidateBy = only('ValidateBy', 'decorator/common');
export const ValidateIf = only('ValidateIf', 'decorator/common');

const Validator = only('Validator', 'validation');
const validator = new Validator();

/** What the decorators of an object's class have against it. */
export const validateSync = (object: object, options?: ValidatorOptions) => validator.validateSync(object, options);

/** For Nest's ValidationPipe, which would load everything. */
export const validatorPackage = {
  validate: (object: object, options?: ValidatorOptions) => validator.validate(object, options),
  getMetadataStorage: only('getMetadataStorage', 'metadata', 'MetadataStorage'),
};
