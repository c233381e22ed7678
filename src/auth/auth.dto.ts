import { ApiProperty } from '../common/openapi-decorators.js';
import { OPTIONAL_BODY } from '../common/body.pipe.js';
import { IsDefined, IsString, ValidateIf } from '../common/validation.js';
import type { TokenPair } from './session.service.js';

const EMAIL = { format: 'email', example: 'ada@example.com', maxLength: 254 };
const PASSWORD = { format: 'password', example: 'violet kettle gravel', maxLength: 128 };
export const REFRESH_TOKEN = {
  description: 'Opaque. Replaced at every refresh.',
  example: '019aa5b0-4c00-7d2c-8f7e-3b0f6d1c9a51.0.Vb3X0Z2mJ6cWm0r0m8jX5w2o5bq1m7c3Qe4t9yUoPlk',
};

const DEVICE_TOKEN = {
  description:
    'Opaque. Keep it on the device, also after logout, and send it with the next login there: wrong passwords that others ' +
    'enter then lock nobody out of this device. Replaced at every login. It opens nothing by itself.',
  example: '6f1e7c52-3a0f-4a52-9d0e-2f9f4d1f7c11.0.Vb3X0Z2mJ6cWm0r0m8jX5w2o5bq1m7c3Qe4t9yUoPlk',
};

export class SignupBody {
  @ApiProperty(EMAIL)
  @IsDefined()
  @IsString()
  email!: string;

  @ApiProperty({ ...PASSWORD, minLength: 15, description: '15 to 128 characters of any kind; nothing is trimmed.' })
  @IsDefined()
  @IsString()
  password!: string;
}

/** Types only: what no policy would accept is a wrong password, not another answer. */
export class LoginBody {
  @ApiProperty(EMAIL)
  @IsDefined()
  @IsString()
  email!: string;

  @ApiProperty(PASSWORD)
  @IsDefined()
  @IsString()
  password!: string;

  @ApiProperty({ ...DEVICE_TOKEN, required: false, description: 'Of the last login on this device, if there is one.' })
  @ValidateIf((_, value) => value !== undefined)
  @IsString()
  device_token?: string;
}

export class RefreshBody {
  @ApiProperty({ ...REFRESH_TOKEN, description: 'The newest one: of the login, or of the last refresh.' })
  @IsDefined()
  @IsString()
  refresh_token!: string;
}

export class LogoutBody {
  static readonly [OPTIONAL_BODY] = true;

  @ApiProperty({ ...REFRESH_TOKEN, required: false, description: 'Instead of the bearer token, when that is lost.' })
  @ValidateIf((_, value) => value !== undefined)
  @IsString()
  refresh_token?: string;
}

/** For routes that take none: a field in it is refused like everywhere. */
export class NoBody {
  static readonly [OPTIONAL_BODY] = true;
}

const LINK_TOKEN = {
  description: 'What stands behind `#token=` in the link of the mail.',
  example: 'Vb3X0Z2mJ6cWm0r0m8jX5w2o5bq1m7c3Qe4t9yUoPlk',
};
const NEW_PASSWORD = {
  ...PASSWORD,
  minLength: 15,
  description: '15 to 128 characters of any kind; nothing is trimmed. Not one of the last five.',
};

export class EmailBody {
  @ApiProperty(EMAIL)
  @IsDefined()
  @IsString()
  email!: string;
}

export class VerifyEmailBody {
  @ApiProperty(LINK_TOKEN)
  @IsDefined()
  @IsString()
  token!: string;

  @ApiProperty({ ...NEW_PASSWORD, required: false, description: 'Where the answer was `password_required`.' })
  @ValidateIf((_, value) => value !== undefined)
  @IsString()
  new_password?: string;
}

export class LinkTokenBody {
  @ApiProperty(LINK_TOKEN)
  @IsDefined()
  @IsString()
  token!: string;
}

export class ResetPasswordBody {
  @ApiProperty(LINK_TOKEN)
  @IsDefined()
  @IsString()
  token!: string;

  @ApiProperty(NEW_PASSWORD)
  @IsDefined()
  @IsString()
  new_password!: string;
}

export class ChangePasswordBody {
  @ApiProperty(PASSWORD)
  @IsDefined()
  @IsString()
  current_password!: string;

  @ApiProperty(NEW_PASSWORD)
  @IsDefined()
  @IsString()
  new_password!: string;
}

export class ChangeEmailBody {
  @ApiProperty(PASSWORD)
  @IsDefined()
  @IsString()
  current_password!: string;

  @ApiProperty(EMAIL)
  @IsDefined()
  @IsString()
  new_email!: string;
}

export class DeleteAccountBody {
  @ApiProperty(PASSWORD)
  @IsDefined()
  @IsString()
  current_password!: string;
}

/** Says nothing, on purpose. */
export class Accepted {}

export class SignupAnswer {
  @ApiProperty({ format: 'uuid', example: '019aa5b0-4c00-7d2c-8f7e-3b0f6d1c9a51' })
  id!: string;

  @ApiProperty({ format: 'email', example: 'ada@example.com' })
  email!: string;

  @ApiProperty({ format: 'date-time', example: '2026-11-22T12:00:00.000Z' })
  created_at!: string;
}

export class TokenAnswer {
  @ApiProperty({
    example: 'eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJ….…',
    description: 'JWT (RFC 9068). Send it as `Authorization: Bearer …`.',
  })
  access_token!: string;

  @ApiProperty({ enum: ['Bearer'] })
  token_type!: 'Bearer';

  @ApiProperty({ example: 300, description: 'Seconds.' })
  expires_in!: number;

  @ApiProperty(REFRESH_TOKEN)
  refresh_token!: string;

  @ApiProperty({ example: 604_800, description: 'Seconds without a refresh after which the session ends.' })
  refresh_expires_in!: number;

  static of(pair: TokenPair): TokenAnswer {
    return {
      access_token: pair.accessToken,
      token_type: 'Bearer',
      expires_in: pair.accessExpiresInSeconds,
      refresh_token: pair.refreshToken,
      refresh_expires_in: pair.refreshExpiresInSeconds,
    };
  }
}

export class LoginAnswer extends TokenAnswer {
  @ApiProperty(DEVICE_TOKEN)
  device_token!: string;
}
